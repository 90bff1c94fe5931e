"""What unpaid orders may hold.

An order reserves its goods before it is paid. A payment page holds them for minutes, and may hold everything.
A voucher holds them for days: of each item all vouchers together take a share of the stock. One customer has
a few unpaid orders at once, counted by e-mail and by client, and a client places a few orders an hour. The
numbers are in the settings ("The shop's terms"); staff lift them for a customer with an `OrderAllowance`.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Literal

from django.conf import settings
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from kikaku.transactions import lock_names, require_transaction
from ledger.models import CheckoutAttempt, Order, OrderAllowance, OrderLine, StockItem
from ledger.models.orders import OrderStatus

ExceededLimit = Literal["unpaid", "hourly"]


def exceeded_limit(email: str, client: str, *, now: datetime) -> ExceededLimit | None:
    """Return which limit forbids the customer another order, or None. Part of the caller's transaction.

    `client` is the hash of the customer's network, "" if it is unknown. Until the transaction ends, no other
    one counts the orders of this e-mail or this client.
    """
    require_transaction()
    lock_names(f"orders of {email.casefold()}", *([f"orders of client {client}"] if client else []))
    is_unpaid = Q(status=OrderStatus.PENDING)
    is_of_client = Q(client=client) if client else Q(pk__in=[])
    is_recent = is_of_client & Q(placed_at__gt=now - timedelta(hours=1))
    count = Order.objects.filter(is_unpaid | is_recent).aggregate(
        of_email=Count("pk", filter=is_unpaid & Q(email__iexact=email)),
        of_client=Count("pk", filter=is_unpaid & is_of_client),
        recent=Count("pk", filter=is_recent),
    )
    exceeded: ExceededLimit | None = None
    if max(count["of_email"], count["of_client"]) >= settings.MAX_UNPAID_ORDERS:
        exceeded = "unpaid"
    elif count["recent"] >= settings.MAX_ORDERS_PER_HOUR:
        exceeded = "hourly"
    return None if exceeded is None or _is_allowed(email) else exceeded


def _is_allowed(email: str) -> bool:
    return OrderAllowance.objects.filter(email__iexact=email).exists()


def max_voucher_pieces(on_hand: int) -> int:
    """Return how many pieces of an item all vouchers together may hold."""
    return max(settings.VOUCHER_PIECES, int(on_hand * settings.VOUCHER_STOCK_SHARE))


def voucher_fits(wanted: Mapping[int, int], email: str, *, order: Order | None = None) -> bool:
    """Return whether pieces (stock item id → quantity) may be held by one more voucher.

    `order` is the one that wants them, if it is placed: what it holds itself does not count.
    """
    lines = _voucher_lines()
    if order is not None:
        lines = lines.exclude(order=order)
    held = lines.filter(item=OuterRef("pk")).values("item").annotate(sum=Sum("reserved")).values("sum")
    items = StockItem.objects.filter(pk__in=wanted).values_list("pk", "on_hand", Coalesce(Subquery(held), 0))
    free = {pk: max_voucher_pieces(on_hand) - pieces for pk, on_hand, pieces in items.order_by()}
    return all(quantity <= free.get(pk, 0) for pk, quantity in wanted.items()) or _is_allowed(email)


def offers_voucher(order: Order, wanted: Mapping[int, int]) -> bool:
    """Return whether a locked order's next payment page may offer vouchers, inside the caller's transaction.

    `wanted` are its pieces (stock item id → quantity). The page that offers one counts as a voucher while it
    is open, because it cannot be refused afterwards. Until the transaction ends, no other one counts the
    vouchers of these items.
    """
    require_transaction()
    lock_names(*(f"vouchers of item {pk}" for pk in wanted))
    return voucher_fits(wanted, order.email, order=order)


def voucher_pieces(items: Iterable[int]) -> dict[int, int]:
    """Return how many pieces of items (ids) vouchers hold, and pages on which one may be chosen."""
    lines = _voucher_lines().filter(item__in=list(items))
    return dict(lines.values_list("item_id").annotate(sum=Sum("reserved")).order_by())


def _voucher_lines() -> QuerySet[OrderLine]:
    lines = OrderLine.objects.filter(Exists(voucher_attempts()), order__status=OrderStatus.PENDING)
    return lines.filter(reserved__gt=0).order_by()


def voucher_attempts() -> QuerySet[CheckoutAttempt]:
    """Return the attempts of an outer order line's order that are or may become a voucher."""
    return CheckoutAttempt.objects.payable().filter(order=OuterRef("order")).exclude(offers_vouchers=False)
