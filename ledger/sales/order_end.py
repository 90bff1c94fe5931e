"""How a paid order ends: by itself when its money is gone, or by cancelling what is left."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_lazy

from ledger.books.discrepancies import resolve_automatically
from ledger.books.order_buckets import tax_buckets
from ledger.books.tax_buckets import TaxBucket
from ledger.models import Discrepancy, Order, OrderEvent, OrderLine, OutgoingMail, Refund
from ledger.models.orders import OrderStatus
from ledger.sales import history, mail, orders
from ledger.stripe.methods import method_named, method_of_voucher

REST_CANCELLED = gettext_lazy("The rest was cancelled.")


def unspent_money(buckets: Iterable[TaxBucket]) -> int:
    """Return the money (JPY) that an order's tax buckets hold for goods that are not shipped."""
    return sum(bucket.deliverable for bucket in buckets)


def has_money_for_goods(order: Order) -> bool:
    """Return whether money is left for what is not shipped, after all requested refunds. Four queries."""
    return unspent_money(tax_buckets(order).values()) > 0


def end_after_refund(order: Order, *, actor: str, now: datetime) -> bool:
    """End a locked order of which the stored refunds leave nothing to ship; return whether it ended.

    Part of the caller's transaction. A paid order ends when no piece or no money is left: its stock is
    released, and the customer gets a mail. A partially shipped one becomes shipped when no piece is left;
    with pieces but without money it waits for staff, who cancel the rest or ship it as a gift.
    """
    is_empty = not order.lines.unshipped().exists()
    if order.status == OrderStatus.PARTIALLY_SHIPPED and is_empty:
        return orders.advance(order, OrderStatus.SHIPPED, shipped_at=now)
    if order.status != OrderStatus.PAID or not (is_empty or not has_money_for_goods(order)):
        return False
    orders.cancel_order(order, reason=Order.CancelReason.REFUNDED, actor=actor, now=now)
    queue_cancelled_mail(order, order.refunds.not_failed().select_related("payment"), now=now)
    return True


def end_rest(
    order: Order,
    lines: Sequence[OrderLine],
    refunds: Sequence[Refund],
    *,
    fee: int,
    actor: str,
    now: datetime,
) -> None:
    """End a locked, partially shipped order whose unshipped `lines` are cancelled, and mail it.

    Part of the caller's transaction. The lines are as they were before; the `refunds` of their money have
    released their pieces, and a `fee` (JPY) of it was kept. Without refunds the pieces are released here.
    """
    orders.release_lines(order)
    orders.advance(order, OrderStatus.SHIPPED, shipped_at=now)
    history.record(
        order,
        OrderEvent.Kind.REST_CANCELLED,
        actor=actor,
        now=now,
        pieces={str(line.position): line.shippable for line in lines},
    )
    resolve_automatically(Discrepancy.Kind.MONEY_GONE, [order.number], resolution=REST_CANCELLED, now=now)
    values = {**_money_of(order, refunds), "rest": lines, "fee": fee}
    mail.queue(OutgoingMail.Kind.REST_CANCELLED, order, f"order:{order.pk}", values, now=now)


def is_rest_cancelled(order: Order) -> bool:
    """Return whether `end_rest` has ended the order."""
    is_ended = order.status == OrderStatus.SHIPPED
    return is_ended and order.events.filter(kind=OrderEvent.Kind.REST_CANCELLED).exists()


def queue_cancelled_mail(order: Order, refunds: Iterable[Refund], *, now: datetime, fee: int = 0) -> None:
    """Queue the mail of a cancelled order, which says what happens to its money; `fee` (JPY) was kept."""
    values = {**_money_of(order, list(refunds)), "fee": fee}
    mail.queue(OutgoingMail.Kind.CANCELLED, order, f"order:{order.pk}", values, now=now)


def _money_of(order: Order, refunds: Sequence[Refund]) -> dict[str, Any]:
    """Return what the mail says about the money of a cancelled order."""
    voucher_attempt = order.attempts.waiting().first()
    return {
        "refunded": sum(refund.amount for refund in refunds),
        "charged": order.payments.exists(),
        "to_bank_account": any(
            method_named(refund.payment.method).refunds_to_bank_account for refund in refunds
        ),
        "may_be_paid": voucher_attempt is not None,
        "voucher_method": method_of_voucher(voucher_attempt) if voucher_attempt else None,
    }
