"""The status of a refund as Stripe reports it. Each forward change is posted and mailed exactly once."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from kikaku.days import business_day
from kikaku.transactions import require_transaction
from ledger.books import journal, refunds_payable
from ledger.books.discrepancies import note_discrepancy
from ledger.models import Discrepancy, Order, OrderEvent, OutgoingMail, Payment, Refund
from ledger.models.orders import OrderStatus
from ledger.sales import history, mail
from ledger.sales.order_end import end_after_refund, has_money_for_goods
from ledger.sales.refund_failure import record_failure, resolve_settled
from ledger.sales.refund_requests import record_event, store_forced_lines
from ledger.stripe.methods import method_named
from ledger.stripe.timestamps import from_timestamp

# Reports may arrive in any order; a refund never goes back to a lower rank. A succeeded one may only fail or
# be cancelled. A waiting one may change between waiting for the customer and waiting for the bank.
STATUS_RANK: dict[str, int] = {
    Refund.Status.REQUESTED: 0,
    Refund.Status.REQUIRES_ACTION: 1,
    Refund.Status.PENDING: 1,
    Refund.Status.SUCCEEDED: 2,
    Refund.Status.FAILED: 3,
    Refund.Status.CANCELED: 3,
}
STATUS_AT_STRIPE: dict[str, Refund.Status] = {  # any other status means pending
    "requires_action": Refund.Status.REQUIRES_ACTION,
    "succeeded": Refund.Status.SUCCEEDED,
    "failed": Refund.Status.FAILED,
    "canceled": Refund.Status.CANCELED,
}
STATUS_EVENTS: dict[str, OrderEvent.Kind] = {
    Refund.Status.REQUIRES_ACTION: OrderEvent.Kind.REFUND_WAITING,
    Refund.Status.PENDING: OrderEvent.Kind.REFUND_PENDING,
    Refund.Status.SUCCEEDED: OrderEvent.Kind.REFUND_SUCCEEDED,
    Refund.Status.FAILED: OrderEvent.Kind.REFUND_FAILED,
    Refund.Status.CANCELED: OrderEvent.Kind.REFUND_CANCELLED,
}


class UnknownPayment(Exception):
    """A refund at Stripe of a payment that is not, or not yet, in our books."""


def apply_stripe_refund(
    stripe_refund: Mapping[str, Any], *, now: datetime, day: date | None = None
) -> Refund:
    """Apply the state of a refund at Stripe inside the caller's transaction; return our refund.

    A refund made in Stripe's dashboard gets a row. `day` is the business day that the report belongs to (of
    the event, or of the close that asked); without it, today. Raises `UnknownPayment` when its payment is
    not in our books.
    """
    require_transaction()
    refund, is_new = _find_or_create(stripe_refund, now=now)
    day = day or business_day(now)
    Refund.objects.filter(pk=refund.pk, stripe_id=None).update(stripe_id=stripe_refund["id"])
    _move_to(
        refund,
        STATUS_AT_STRIPE.get(stripe_refund["status"] or "", Refund.Status.PENDING),
        created=from_timestamp(stripe_refund["created"]),
        failure_reason=stripe_refund.get("failure_reason") or "",
        has_moved_money=stripe_refund.get("balance_transaction") is not None,
        day=day,
        now=now,
    )
    if is_new:
        _apply_to_order(refund, day=day, now=now)
    return refund


def _apply_to_order(refund: Refund, *, day: date, now: datetime) -> None:
    """End the order of a new dashboard refund that leaves no money for its goods, or ask staff about it."""
    order = Order.objects.get(pk=refund.order_id)
    resolve_settled(order, now=now)
    if refund.status in Refund.FAILED_STATUSES or end_after_refund(order, actor=history.STRIPE, now=now):
        return
    if order.status == OrderStatus.PARTIALLY_SHIPPED and not has_money_for_goods(order):
        note_discrepancy(
            Discrepancy.Kind.MONEY_GONE,
            order.number,
            day=journal.first_open_day(day, last_closed=journal.last_closed_day()),
            amount=refund.amount,
            detail="Stripe の管理画面で返金されました。未発送の商品の代金は残っていません。",
            now=now,
        )


def fail_refund(refund: Refund, *, reason: str, now: datetime) -> None:
    """Mark as failed a refund that Stripe refused to create; no money has moved."""
    require_transaction()
    Order.objects.lock(refund.order_id)
    _move_to(
        refund,
        Refund.Status.FAILED,
        created=now,
        failure_reason=reason,
        has_moved_money=False,
        day=business_day(now),
        now=now,
    )


def _find_or_create(stripe_refund: Mapping[str, Any], *, now: datetime) -> tuple[Refund, bool]:
    """Return the row of a refund at Stripe, and whether it is new; its order is locked.

    It is found by its id or its nonce. One without a row was made in Stripe's dashboard and gets its row.
    """
    nonce = dict(stripe_refund.get("metadata") or {}).get("refund", "")
    is_known = Q(stripe_id=stripe_refund["id"]) | (Q(nonce=nonce, stripe_id=None) if nonce else Q(pk__in=[]))
    refund = Refund.objects.filter(is_known).first()
    if refund is not None:
        Order.objects.lock(refund.order_id)
        return Refund.objects.get(pk=refund.pk), False
    intent, charge = stripe_refund.get("payment_intent"), stripe_refund.get("charge")
    # "-" matches no row; an empty id would match rows without one
    payment = Payment.objects.filter(Q(payment_intent=intent or "-") | Q(charge=charge or "-")).first()
    if payment is None:
        raise UnknownPayment(str(intent or charge or stripe_refund["id"]))
    order = Order.objects.lock(payment.order_id)
    # a concurrent event may have written the row before the lock was ours
    refund = Refund.objects.filter(stripe_id=stripe_refund["id"]).first()
    if refund is not None:
        return refund, False
    return _create_from_stripe(stripe_refund, payment, order, now=now), True


def _create_from_stripe(
    stripe_refund: Mapping[str, Any], payment: Payment, order: Order, *, now: datetime
) -> Refund:
    """Store a refund made in Stripe's dashboard.

    It names no order lines, so its amount is spread over the order.
    """
    refund = Refund.objects.create(
        order=order,
        payment=payment,
        nonce=f"stripe-{stripe_refund['id']}"[:64],
        stripe_id=stripe_refund["id"],
        amount=stripe_refund["amount"],
        reason=_("made at Stripe, not in the shop"),
        requested_at=now,
        actor="Stripe",
    )
    store_forced_lines(refund, now=now)
    record_event(
        OrderEvent.Kind.REFUND_REQUESTED, refund, actor=history.STRIPE, now=now, reason=refund.reason
    )
    return refund


def _move_to(
    refund: Refund,
    status: Refund.Status,
    *,
    created: datetime,
    failure_reason: str,
    has_moved_money: bool,
    day: date,
    now: datetime,
) -> None:
    """Set a later status, and make its postings and mails once.

    They are made only if the conditional update changed the row. `created` is when the refund was created at
    Stripe, however late it is reported; `day` is the business day in whose close a failure counts, or the
    first open day after it.
    """
    allowed = [
        before
        for before, rank in STATUS_RANK.items()
        if rank < STATUS_RANK[status] or {before, status} == set(Refund.WAITING_STATUSES)
    ]
    if not Refund.objects.filter(pk=refund.pk, status__in=allowed).update(
        status=status, failure_reason=failure_reason[:200]
    ):
        return
    refund.refresh_from_db(fields=["status", "stripe_id", "failure_reason"])
    message = {"message": failure_reason[:200]} if failure_reason else {}
    record_event(STATUS_EVENTS[status], refund, actor=history.STRIPE, now=now, **message)
    method = method_named(refund.payment.method)
    context = {"refund": refund, "to_bank_account": method.refunds_to_bank_account}
    if status == Refund.Status.REQUIRES_ACTION:
        refunds_payable.post_waiting_refund(refund, since=created, now=now)
        mail.queue(method.refund_waits_mail, refund.order, f"refund:{refund.pk}", context, now=now)
    elif status == Refund.Status.SUCCEEDED:
        mail.queue(OutgoingMail.Kind.REFUNDED, refund.order, f"refund:{refund.pk}", context, now=now)
    elif status in Refund.FAILED_STATUSES:
        record_failure(refund, has_moved_money=has_moved_money, day=day, now=now)
