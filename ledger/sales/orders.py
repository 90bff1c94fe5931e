"""Orders: placed once, moved forward only, cancelled with everything that belongs to it."""

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
from kikaku.money import MAX_CHARGE
from kikaku.transactions import unit_of_work
from ledger.books import tax
from ledger.models import Order, OrderEvent, OrderLine
from ledger.models.orders import OrderStatus
from ledger.sales import history, stock
from ledger.sales.stock import SoldOut

__all__ = ["MOVES", "Address", "NewLine", "OrderRefused", "SoldOut", "advance", "end", "place"]

# The allowed moves; everything else is refused by `advance`. What was paid never becomes unpaid, what was
# cancelled is never revived.
MOVES: dict[str, frozenset[str]] = {
    OrderStatus.PENDING: frozenset({OrderStatus.PAID, OrderStatus.CANCELLED}),
    OrderStatus.PAID: frozenset({OrderStatus.PARTIALLY_SHIPPED, OrderStatus.SHIPPED, OrderStatus.CANCELLED}),
    OrderStatus.PARTIALLY_SHIPPED: frozenset({OrderStatus.SHIPPED}),
    OrderStatus.SHIPPED: frozenset(),
    OrderStatus.CANCELLED: frozenset(),
}

MAX_QUANTITY = 9_999
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # no I, L, O, U: numbers are read out on the telephone

RefusalReason = Literal["empty", "quantity", "discount", "below_minimum", "above_maximum"]


class OrderRefused(Exception):
    """The order can not be placed; `reason` is a code for the page, the text says it to a person."""

    def __init__(self, reason: RefusalReason, message: str) -> None:
        self.reason: RefusalReason = reason
        super().__init__(message)


@dataclass(frozen=True, kw_only=True)
class NewLine:
    """What is bought, as it was shown: the snapshot of a variant."""

    item_id: int  # ledger.StockItem
    sku: str
    title: str  # in the order's language, options included
    unit_price: int  # JPY, tax included
    quantity: int
    tax_rate: int  # percent: 10 or 8


@dataclass(frozen=True, kw_only=True)
class Address:
    """Who gets it; normalised by the form at the edge."""

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
    """Draw an order number: K, the business day, five random characters; the unique index decides."""
    return f"K{business_day(now):%y%m%d}-" + "".join(secrets.choice(CROCKFORD) for _place in range(5))


def _check(lines: Sequence[NewLine], discount: int) -> None:
    """Refuse what no form sends."""
    if not lines:
        raise OrderRefused("empty", _("The cart is empty."))
    for line in lines:
        if not 1 <= line.quantity <= MAX_QUANTITY or line.unit_price < 0:
            raise OrderRefused("quantity", _("The quantity must be between 1 and 9,999."))
    if not 0 <= discount <= sum(line.unit_price * line.quantity for line in lines):
        raise OrderRefused("discount", _("The discount is larger than the goods."))


@unit_of_work
def place(
    *,
    nonce: str,
    language: str,
    lines: Sequence[NewLine],
    address: Address,
    discount: int,
    shipping_fee: int,
    now: datetime,
) -> Order:
    """Place an order in one transaction: quote, lines, reserved stock. The same nonce gives the same order.

    Raises `SoldOut` (with the SKUs) and `OrderRefused`; then nothing was written.
    """
    placed = Order.objects.filter(nonce=nonce).first()
    if placed is not None:
        return placed
    _check(lines, discount)
    quote = tax.totals(
        [(line.unit_price * line.quantity, line.tax_rate) for line in lines],
        discount=discount,
        shipping_fee=shipping_fee,
    )
    if quote.total < settings.ORDER_MINIMUM:
        raise OrderRefused(
            "below_minimum",
            _("Orders are possible from ¥%(minimum)d.") % {"minimum": settings.ORDER_MINIMUM},
        )
    if quote.total > MAX_CHARGE:
        raise OrderRefused("above_maximum", _("Orders are possible up to ¥99,999,999. Please contact us."))
    wanted: dict[int, int] = {}
    for line in lines:
        wanted[line.item_id] = wanted.get(line.item_id, 0) + line.quantity

    for _attempt in range(5):
        try:
            with transaction.atomic():
                # the order first: of two clicks the second waits here for the first, or meets its nonce
                order = Order.objects.create(
                    number=_new_number(now),
                    token=secrets.token_urlsafe(24),
                    nonce=nonce,
                    language=language,
                    **vars(address),
                    goods_total=quote.goods_total,
                    discount=quote.discount,
                    shipping_fee=quote.shipping_fee,
                    total=quote.total,
                    tax_10=quote.taxes.get(10, 0),
                    tax_8=quote.taxes.get(8, 0),
                    placed_at=now,
                )
                stock.reserve(wanted)
                OrderLine.objects.bulk_create(
                    OrderLine(
                        order=order,
                        position=position,
                        item_id=line.item_id,
                        sku=line.sku,
                        title=line.title,
                        unit_price=line.unit_price,
                        quantity=line.quantity,
                        discount=share,
                        total=line.unit_price * line.quantity - share,
                        tax_rate=line.tax_rate,
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
            # else the random number was taken: draw again
    raise RuntimeError("No free order number was found in five draws.")


def advance(order: Order, to: str, **fields: Any) -> bool:
    """Move the order forward by one conditional update; `fields` are written with it.

    Returns False, and changes nothing, when the table `MOVES` does not allow it from where the order is now.
    """
    allowed = [status for status, targets in MOVES.items() if to in targets]
    moved = Order.objects.filter(pk=order.pk, status__in=allowed).update(status=to, **fields)
    if moved:
        order.status = to
        for name, value in fields.items():
            setattr(order, name, value)
    return bool(moved)


def end(order: Order, *, reason: str, actor: str, now: datetime) -> bool:
    """Cancel the order's state and let its stock go, once: the conditional move guards the release.

    Runs inside the caller's transaction, with the order locked. Returns False when the order was not
    cancellable any more.
    """
    if not advance(order, OrderStatus.CANCELLED, cancel_reason=reason, cancelled_at=now):
        return False
    history.record(order, OrderEvent.Kind.CANCELLED, actor=actor, now=now, reason=reason)
    promised: dict[int, int] = {}
    for item_id, reserved in order.lines.filter(reserved__gt=0).values_list("item_id", "reserved"):
        promised[item_id] = promised.get(item_id, 0) + reserved
    order.lines.update(cancelled=F("cancelled") + F("reserved"), reserved=0)
    stock.release(promised)
    return True
