"""Orders: placed once, and moved forward only.

Callers decide what happens to an order; every change of its state is made by `advance` or `cancel_order`.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils.translation import gettext as _

from kikaku.days import business_day
from kikaku.money import MAX_CHARGE, MAX_LINE_QUANTITY, REDUCED, STANDARD
from kikaku.text import has_link, has_web_address
from kikaku.transactions import queued_writes, require_transaction, unit_of_work
from ledger.books import tax
from ledger.books.tax_rules import TaxStatusMissing, load_tax_rules
from ledger.models import Order, OrderEvent, OrderLine
from ledger.models.orders import OrderStatus
from ledger.sales import history, holds, stock
from ledger.sales.stock import SoldOut

__all__ = [
    "ALLOWED_TRANSITIONS",
    "Address",
    "NewOrderLine",
    "OrderRefused",
    "SoldOut",
    "advance",
    "cancel_order",
    "place_order",
    "release_lines",
]

# The moves that `advance` makes: a paid order never becomes unpaid, and a cancelled one is final.
ALLOWED_TRANSITIONS: dict[str, frozenset[str]] = {
    OrderStatus.PENDING: frozenset({OrderStatus.PAID, OrderStatus.CANCELLED}),
    OrderStatus.PAID: frozenset({OrderStatus.PARTIALLY_SHIPPED, OrderStatus.SHIPPED, OrderStatus.CANCELLED}),
    OrderStatus.PARTIALLY_SHIPPED: frozenset({OrderStatus.SHIPPED}),
    OrderStatus.SHIPPED: frozenset(),
    OrderStatus.CANCELLED: frozenset(),
}

NUMBER_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # no I, L, O, U: numbers are read out on the telephone
MAX_NUMBER_ATTEMPTS = 5

RefusalReason = Literal[
    "empty",
    "quantity",
    "price",
    "discount",
    "address",
    "below_minimum",
    "above_maximum",
    "unpaid_orders",
    "orders_per_hour",
    "closed",
]


class OrderRefused(Exception):
    """The order cannot be placed; `reason` is a code for the page, the message is for the customer."""

    def __init__(self, reason: RefusalReason, message: str) -> None:
        self.reason: RefusalReason = reason
        super().__init__(message)


@dataclass(frozen=True, kw_only=True)
class NewOrderLine:
    """A line of a new order: a snapshot of the variant as it was shown."""

    item_id: int  # ledger.StockItem
    sku: str
    title: str  # in the order's language, options included
    unit_price: int  # JPY, tax included
    quantity: int
    tax_class: str  # a value of `ledger.models.tax.TaxClass`
    title_ja: str = ""  # for those who pack, if the order's language is another one


@dataclass(frozen=True, kw_only=True)
class Address:
    """The recipient of an order, normalised by the form."""

    email: str
    family_name: str
    given_name: str
    family_name_kana: str = ""
    given_name_kana: str = ""
    postal_code: str  # 123-4567
    prefecture: str
    city: str
    street: str
    building: str = ""
    phone: str
    note: str = ""


def _new_number(now: datetime) -> str:
    """Return a random order number: K, the business day, five characters. It may be taken already."""
    return f"K{business_day(now):%y%m%d}-" + "".join(secrets.choice(NUMBER_ALPHABET) for _index in range(5))


def _check_lines(lines: Sequence[NewOrderLine], discount: int) -> None:
    """Raise `OrderRefused` if there is no line, a number is out of range, or the discount exceeds the goods.

    No form of the shop sends such an order.
    """
    if not lines:
        raise OrderRefused("empty", _("The cart is empty."))
    for line in lines:
        if not 1 <= line.quantity <= MAX_LINE_QUANTITY:
            raise OrderRefused("quantity", _("The quantity must be between 1 and 9,999."))
        if line.unit_price < 0:
            raise OrderRefused("price", _("The price must not be below ¥0."))
    if not 0 <= discount <= sum(line.unit_price * line.quantity for line in lines):
        raise OrderRefused("discount", _("The discount is larger than the goods."))


def _check_address(address: Address) -> None:
    """Raise `OrderRefused` when what mails repeat of an address holds an address of the web.

    The shop's forms refuse it; mails go to whatever e-mail address was typed, be it a stranger's.
    """
    names = (address.family_name, address.given_name, address.family_name_kana, address.given_name_kana)
    lines = (address.city, address.street, address.building)
    if any(map(has_web_address, names)) or any(map(has_link, lines)):
        raise OrderRefused("address", _("The name and the address must not contain an address of the web."))


def _limit_refusal(exceeded: holds.ExceededLimit) -> OrderRefused:
    """Return the refusal of an order beyond a limit, which says what to do."""
    if exceeded == "unpaid":
        text = _(
            "%(count)d of your orders are not paid yet. Please pay for one of them or cancel it; then "
            "you can order again. An order whose payment page was left ends by itself after %(minutes)d "
            "minutes. For a large order please contact us: we keep the goods for you."
        )
        values = {"count": settings.MAX_UNPAID_ORDERS, "minutes": settings.CHECKOUT_MINUTES}
        return OrderRefused("unpaid_orders", text % values)
    return OrderRefused(
        "orders_per_hour",
        _("Many orders came from your connection within an hour. Please try again later, or contact us."),
    )


@unit_of_work
def place_order(
    *,
    nonce: str,
    language: str,
    lines: Sequence[NewOrderLine],
    address: Address,
    discount: int,
    shipping_fee: int,
    now: datetime,
    client: str | None = None,
) -> Order:
    """Place an order with its lines and reserved stock; the same nonce returns the same order.

    `discount` and `shipping_fee` are integer JPY. `client` is the hash of the customer's network, "" if it is
    unknown; without it the order does not come from the shop's pages, and has no limits. Raises `SoldOut`
    (with the SKUs) and `OrderRefused`; then nothing was written.
    """
    placed = Order.objects.filter(nonce=nonce).first()
    if placed is not None:
        return placed
    _check_lines(lines, discount)
    _check_address(address)
    try:
        order_tax = load_tax_rules().of_orders(business_day(now))
    except TaxStatusMissing:
        raise OrderRefused("closed", _("We do not take orders yet. Please come back soon.")) from None
    quote = tax.totals(
        [(line.unit_price * line.quantity, line.tax_class) for line in lines],
        discount=discount,
        shipping_fee=shipping_fee,
        rates=order_tax.rates,
        rounding=order_tax.rounding,
    )
    if quote.total < settings.ORDER_MINIMUM:
        raise OrderRefused(
            "below_minimum",
            _("Orders are possible from ¥%(minimum)d.") % {"minimum": settings.ORDER_MINIMUM},
        )
    if quote.total > MAX_CHARGE:
        raise OrderRefused("above_maximum", _("Orders are possible up to ¥99,999,999. Please contact us."))
    exceeded = None if client is None else holds.exceeded_limit(address.email, client, now=now)
    if exceeded is not None:
        placed = Order.objects.filter(nonce=nonce).first()  # by another click, while this one waited
        if placed is not None:
            return placed
        raise _limit_refusal(exceeded)
    wanted: dict[int, int] = {}
    for line in lines:
        wanted[line.item_id] = wanted.get(line.item_id, 0) + line.quantity

    for _attempt in range(MAX_NUMBER_ATTEMPTS):
        number = _new_number(now)
        try:
            with transaction.atomic():
                # the order before its stock: a second request with this nonce fails here and reserves nothing
                order = Order.objects.create(
                    number=number,
                    token=secrets.token_urlsafe(24),
                    nonce=nonce,
                    language=language,
                    **vars(address),
                    goods_total=quote.goods_total,
                    discount=quote.discount,
                    shipping_fee=quote.shipping_fee,
                    total=quote.total,
                    tax_standard=quote.taxes.get(STANDARD, 0),
                    tax_reduced=quote.taxes.get(REDUCED, 0),
                    rate_standard=order_tax.rates[STANDARD],
                    rate_reduced=order_tax.rates[REDUCED],
                    tax_rounding=order_tax.rounding,
                    client=client,
                    placed_at=now,
                )
                stock.reserve(wanted)
                with queued_writes():  # the lines of a new order whose items exist cannot fail
                    OrderLine.objects.bulk_create(
                        OrderLine(
                            order=order,
                            position=position,
                            item_id=line.item_id,
                            sku=line.sku,
                            title=line.title,
                            title_ja=line.title_ja if line.title_ja != line.title else "",
                            unit_price=line.unit_price,
                            quantity=line.quantity,
                            discount=share,
                            total=line.unit_price * line.quantity - share,
                            tax_class=line.tax_class,
                            reserved=line.quantity,
                        )
                        for position, (line, share) in enumerate(
                            zip(lines, quote.line_discounts, strict=True), start=1
                        )
                    )
                history.record(
                    order,
                    OrderEvent.Kind.PLACED,
                    actor=history.CUSTOMER,
                    now=now,
                    total=order.total,
                )
                return order
        except IntegrityError:
            placed = Order.objects.filter(nonce=nonce).first()
            if placed is not None:
                return placed
            if not Order.objects.filter(number=number).exists():
                raise  # not because the random number was taken
    raise RuntimeError(f"No free order number was found in {MAX_NUMBER_ATTEMPTS} attempts.")


def advance(order: Order, to: str, **fields: Any) -> bool:
    """Move the order forward to a status by one conditional update that also writes `fields`.

    Returns False, and changes nothing, when `ALLOWED_TRANSITIONS` does not permit it.
    """
    allowed = [status for status, targets in ALLOWED_TRANSITIONS.items() if to in targets]
    moved = Order.objects.filter(pk=order.pk, status__in=allowed).update(status=to, **fields)
    if moved:
        order.status = to
        for name, value in fields.items():
            setattr(order, name, value)
    return bool(moved)


def cancel_order(order: Order, *, reason: str, actor: str, now: datetime) -> bool:
    """Mark the order cancelled and release its stock, inside the caller's transaction, with the order locked.

    `reason` is one of `Order.CancelReason`. Returns False, and changes nothing, when the order was cancelled
    or shipped before. Money and payment pages are the caller's concern: see `ledger.sales.cancellation`.
    """
    require_transaction()
    if not advance(order, OrderStatus.CANCELLED, cancel_reason=reason, cancelled_at=now):
        return False
    history.record(order, OrderEvent.Kind.CANCELLED, actor=actor, now=now, reason=reason)
    release_lines(order)
    return True


def release_lines(order: Order) -> None:
    """Cancel the pieces that a locked order still reserves, inside the caller's transaction."""
    require_transaction()
    to_release: dict[int, int] = {}
    for item_id, reserved in order.lines.filter(reserved__gt=0).values_list("item_id", "reserved"):
        to_release[item_id] = to_release.get(item_id, 0) + reserved
    order.lines.update(cancelled=F("cancelled") + F("reserved"), reserved=0)
    stock.release(to_release)
