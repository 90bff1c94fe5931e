"""Refunds: decided and written under the order's lock, sent to Stripe after the commit, followed by its events.

The row's nonce is the idempotency key towards Stripe, so that a click, its repetition, a retry and the job together
move the money once. What the refund takes from is stored in its lines when it is asked for.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Q, Sum
from django.utils.translation import gettext as _

from kikaku.days import business_day
from kikaku.transactions import unit_of_work
from ledger.books import refunds_payable
from ledger.books.discrepancies import note_discrepancy
from ledger.models import Discrepancy, Order, OrderEvent, OrderLine, OutgoingMail, Payment, Refund, RefundLine
from ledger.models.orders import OrderStatus
from ledger.sales import history, mail, orders, stock
from ledger.sales.refund_plan import (
    PlannedLine,
    RefundRefused,
    RefundRequest,
    everything,
    plan_of_amount,
    refund_plan,
    shipping_refunded,
)
from ledger.stripe import client
from ledger.stripe.client import StripeRefused, StripeUnavailable
from ledger.stripe.methods import method_named
from ledger.stripe.timestamps import from_timestamp

__all__ = [
    "RefundRefused",
    "RefundRequest",
    "UnknownPayment",
    "ask_about_waiting",
    "everything",
    "follow",
    "give_back",
    "request_refund",
    "send_requested",
]

logger = logging.getLogger(__name__)

ENOUGH = 3  # calls without an answer in a row: Stripe is down, the job comes again
SENDING = timedelta(minutes=2)  # the job leaves a fresh row to the request that wrote it
ASK_AGAIN = timedelta(days=1)  # a customer may take weeks to name his bank account

# How far a refund has come. A later report never moves it back: a succeeded refund may still fail, nothing else.
# One that waits may change between waiting for the customer and for the bank.
RANK: dict[str, int] = {
    Refund.Status.REQUESTED: 0,
    Refund.Status.REQUIRES_ACTION: 1,
    Refund.Status.PENDING: 1,
    Refund.Status.SUCCEEDED: 2,
    Refund.Status.FAILED: 3,
    Refund.Status.CANCELED: 3,
}
ENDED_BADLY = (Refund.Status.FAILED, Refund.Status.CANCELED)
WAITS = (Refund.Status.REQUIRES_ACTION, Refund.Status.PENDING)
EVENTS: dict[str, OrderEvent.Kind] = {
    Refund.Status.REQUIRES_ACTION: OrderEvent.Kind.REFUND_WAITING,
    Refund.Status.PENDING: OrderEvent.Kind.REFUND_PENDING,
    Refund.Status.SUCCEEDED: OrderEvent.Kind.REFUND_SUCCEEDED,
    Refund.Status.FAILED: OrderEvent.Kind.REFUND_FAILED,
    Refund.Status.CANCELED: OrderEvent.Kind.REFUND_CANCELLED,
}


class UnknownPayment(Exception):
    """A refund at Stripe of a payment that is not (or not yet) in our books."""


def refundable(payment: Payment) -> int:
    """Say what of a payment can still be sent back (JPY)."""
    gone = payment.refunds.exclude(status__in=ENDED_BADLY).aggregate(sum=Sum("amount"))["sum"] or 0
    return payment.amount - gone


def request_refund(*, order: Order, request: RefundRequest, nonce: str, actor: str, now: datetime) -> Refund:
    """Send money back: the row first, Stripe after the commit. The same nonce gives the same refund.

    When Stripe does not answer, the refund stays `requested` and the job sends it. When Stripe refuses it, it comes
    back `failed`, with the reason. Raises `RefundRefused` when the order can not give what is asked for; then
    nothing changed.
    """
    try:
        refund = unit_of_work(write)(order=order, request=request, nonce=nonce, actor=actor, now=now)
    except IntegrityError:
        written = Refund.objects.filter(nonce=nonce, order=order).first()
        if written is None:
            raise
        refund = written
    if refund.status == Refund.Status.REQUESTED:
        send(refund, now=now)
        refund.refresh_from_db()
    return refund


@unit_of_work
def preview(*, order: Order, request: RefundRequest) -> int:
    """Say what the customer would get (JPY): decide and write it all, and roll it back.

    Raises `RefundRefused` as the refund itself would.
    """
    written = write(order=order, request=request, nonce="preview", actor="", now=order.placed_at)
    transaction.set_rollback(True)
    return written.amount


def write(
    *,
    order: Order,
    request: RefundRequest,
    nonce: str,
    actor: str,
    now: datetime,
    cancel_reason: str = Order.CancelReason.STAFF,
) -> Refund:
    """Decide and write a refund inside the caller's transaction: row, lines, pieces, the order's state.

    An order of which nothing is left to ship is cancelled with `cancel_reason`.

    Raises `RefundRefused`.
    """
    order = Order.objects.select_for_update().get(pk=order.pk)
    written = Refund.objects.filter(nonce=nonce).first()
    if written is not None:
        if written.order_id != order.pk:
            raise RefundRefused(_("This form belongs to another order. Please open it again."))
        return written
    if order.status == OrderStatus.PENDING:
        raise RefundRefused(_("The order is not paid: there is nothing to refund."))
    lines = {line.pk: line for line in order.lines.order_by("item_id", "pk")}
    _check_quantities(lines, request.quantities)
    plan = refund_plan(order, request)
    _check_something_to_ship(order, lines, plan)
    amount = sum(part.amount for part in plan)
    refund = Refund.objects.create(
        order=order,
        payment=_payment_for(order, amount),
        nonce=nonce,
        amount=amount,
        reason=request.reason[:200],
        restock=request.restock,
        requested_at=now,
        actor=actor,
    )
    _write_lines(refund, plan)
    _take_pieces(refund, lines, plan, now=now)
    _record(OrderEvent.Kind.REFUND_REQUESTED, refund, actor=actor, now=now, reason=refund.reason)
    _close_if_nothing_is_left(order, cancel_reason, actor=actor, now=now)
    return refund


def _write_lines(refund: Refund, plan: Sequence[PlannedLine]) -> None:
    RefundLine.objects.bulk_create(
        RefundLine(
            refund=refund,
            order_line_id=part.order_line_id,
            tax_rate=part.tax_rate,
            quantity=part.quantity,
            prepaid=part.prepaid,
            recognised=part.recognised,
            payable=part.payable,
        )
        for part in plan
    )


def _check_quantities(lines: Mapping[int, OrderLine], quantities: Mapping[int, int]) -> None:
    for line_id, quantity in quantities.items():
        line = lines.get(line_id)
        if line is None:
            raise RefundRefused(_("A line belongs to another order. Please open the form again."))
        left = line.quantity - line.cancelled - line.returned
        if not 0 <= quantity <= left:
            raise RefundRefused(
                _("%(title)s: %(left)d pieces can be refunded at most.") % {"title": line.title, "left": left}
            )


def _check_something_to_ship(
    order: Order, lines: Mapping[int, OrderLine], plan: Sequence[PlannedLine]
) -> None:
    """Refuse to keep the shipping fee of an order of which nothing will ever be shipped."""
    unshipped = {part.order_line_id: part.unshipped for part in plan if part.unshipped}
    if order.status != OrderStatus.PAID or not unshipped or not order.shipping_fee:
        return
    fee_goes_too = any(part.order_line_id is None and part.quantity for part in plan)
    if shipping_refunded(order):
        return
    if not fee_goes_too and all(line.shippable <= unshipped.get(pk, 0) for pk, line in lines.items()):
        raise RefundRefused(
            _("Nothing would be left to ship. Refund the shipping fee too, or keep at least one piece.")
        )


def _payment_for(order: Order, amount: int) -> Payment:
    """Choose the payment that can carry the refund. Raises `RefundRefused`."""
    possible = {payment: refundable(payment) for payment in order.payments.order_by("captured_at", "pk")}
    for payment, left in possible.items():
        if left >= amount:
            return payment
    raise RefundRefused(
        _("¥%(left)s can be refunded at most.") % {"left": f"{max(possible.values(), default=0):,}"}
    )


def _take_pieces(
    refund: Refund, lines: Mapping[int, OrderLine], plan: Sequence[PlannedLine], *, now: datetime
) -> None:
    """Move the pieces: unshipped ones can be sold again, shipped ones go back to stock if asked for."""
    released: dict[int, int] = {}
    for part in plan:
        if part.order_line_id is None or not part.quantity:
            continue
        line = lines[part.order_line_id]
        OrderLine.objects.filter(pk=line.pk).update(
            cancelled=F("cancelled") + part.unshipped,
            reserved=F("reserved") - part.unshipped,
            returned=F("returned") + part.shipped,
        )
        released[line.item_id] = released.get(line.item_id, 0) + part.unshipped
        if part.shipped and refund.restock:
            stock.take_back(
                line.item_id,
                part.shipped,
                source=f"refund:{refund.pk}:{line.pk}",
                actor=refund.actor,
                now=now,
            )
    stock.release(released)


def _close_if_nothing_is_left(order: Order, cancel_reason: str, *, actor: str, now: datetime) -> None:
    """Move an order on whose last unshipped piece was just refunded."""
    if order.lines.filter(quantity__gt=F("shipped") + F("cancelled")).exists():
        return
    if order.status == OrderStatus.PARTIALLY_SHIPPED:
        orders.advance(order, OrderStatus.SHIPPED, shipped_at=now)
    elif order.status == OrderStatus.PAID:
        orders.end(order, reason=cancel_reason, actor=actor, now=now)


def give_back(payment: Payment, *, reason: str, now: datetime) -> Refund:
    """Write the refund of what is left of a payment that must not be kept, inside the caller's transaction.

    The job sends it. A part of it may be refunded already, in Stripe's dashboard; the caller sees that not all is.
    """
    nonce = f"payment-{payment.payment_intent}"[:64]
    written = Refund.objects.filter(nonce=nonce).first()
    if written is not None:
        return written
    refund = Refund.objects.create(
        order_id=payment.order_id,
        payment=payment,
        nonce=nonce,
        amount=refundable(payment),
        reason=reason,
        requested_at=now,
    )
    _write_lines(refund, plan_of_amount(refund.order, refund.amount))
    _record(OrderEvent.Kind.REFUND_REQUESTED, refund, actor=history.SYSTEM, now=now, reason=reason)
    return refund


def _record(kind: OrderEvent.Kind, refund: Refund, *, actor: str, now: datetime, **data: Any) -> None:
    """Record an act on a refund in its order's history. One that waits may wait for another again."""
    fact = f"refund:{refund.pk}"
    if kind in (OrderEvent.Kind.REFUND_WAITING, OrderEvent.Kind.REFUND_PENDING):
        fact = history.repeatable(fact, now)
    amount = refund.amount
    history.record(
        refund.order_id, kind, actor=actor, now=now, fact=fact, refund=refund.pk, amount=amount, **data
    )


# ── Stripe ───────────────────────────────────────────────────────────────────────────────────────────────


def send(refund: Refund, *, now: datetime) -> bool:
    """Send a written refund to Stripe, outside transactions; False when Stripe did not answer."""
    try:
        answer = _create(refund)
    except StripeUnavailable as error:
        logger.warning("Refund %d waits, Stripe does not answer: %s", refund.pk, error)
        return False
    except StripeRefused as error:
        logger.error("Refund %d was refused by Stripe: %s", refund.pk, error)
        _refused(refund, error, now=now)
        return True
    unit_of_work(follow)(answer, now=now)
    return True


@unit_of_work
def _refused(refund: Refund, refusal: StripeRefused, *, now: datetime) -> None:
    """Write down that Stripe refused a refund: it failed before any money moved."""
    Order.objects.select_for_update().get(pk=refund.order_id)
    _move(refund, Refund.Status.FAILED, created=now, failure_reason=str(refusal), moved_money=False, now=now)


def _create(refund: Refund) -> dict[str, Any]:
    """Create a refund at Stripe; a refusal counts only when it is not there already.

    The answer to an earlier call may have been lost, and what we learned of the payment since then changes the
    parameters: Stripe refuses the key, but sends the money. Raises `StripeUnavailable`, `StripeRefused`.
    """
    try:
        return client.create_refund(refund)
    except StripeRefused:
        found = client.find_refund(refund)
        if found is None:
            raise
        return found


def send_requested(*, now: datetime, limit: int = 100) -> int:
    """Send the refunds that never reached Stripe; returns how many did now.

    Each is looked for first: its answer may have been lost, and idempotency keys last a day only.
    """
    waiting = Refund.objects.filter(status=Refund.Status.REQUESTED, requested_at__lte=now - SENDING)
    sent = unanswered = 0
    for refund in waiting.select_related("payment", "order").order_by("requested_at", "pk")[:limit]:
        try:
            found = client.find_refund(refund)
        except StripeUnavailable as error:
            logger.warning("Refund %d waits, Stripe does not answer: %s", refund.pk, error)
            answered = False
        except StripeRefused as error:
            logger.error("Refund %d can not be looked up: %s", refund.pk, error)
            continue
        else:
            if found is not None:
                unit_of_work(follow)(found, now=now)
            answered = found is not None or send(refund, now=now)
        sent += answered
        unanswered = 0 if answered else unanswered + 1
        if unanswered >= ENOUGH:
            break
    return sent


def ask_about_waiting(*, now: datetime, limit: int = 50) -> int:
    """Ask Stripe once a day about each refund that waits, in case its event was lost; returns how many moved on."""
    day_ago = now - ASK_AGAIN
    due = Refund.objects.filter(
        Q(asked_at=None, requested_at__lte=day_ago) | Q(asked_at__lte=day_ago),
        status__in=WAITS,
        stripe_id__isnull=False,
    )
    moved = 0
    for refund in due.order_by("requested_at", "pk")[:limit]:
        if not Refund.objects.filter(pk=refund.pk, asked_at=refund.asked_at).update(asked_at=now):
            continue  # another worker asks
        try:
            answer = client.retrieve_refund(str(refund.stripe_id))
        except (StripeUnavailable, StripeRefused) as error:
            logger.warning("Refund %d waits, Stripe does not tell how it stands: %s", refund.pk, error)
            continue
        moved += unit_of_work(follow)(answer, now=now).status not in WAITS
    return moved


def follow(answer: Mapping[str, Any], *, now: datetime) -> Refund:
    """Follow what Stripe says about a refund, inside the caller's transaction; ours, or made in its dashboard.

    Raises `UnknownPayment` when its payment is not in our books.
    """
    refund = _find(answer, now=now)
    Refund.objects.filter(pk=refund.pk, stripe_id=None).update(stripe_id=answer["id"])
    status = {
        "requires_action": Refund.Status.REQUIRES_ACTION,
        "succeeded": Refund.Status.SUCCEEDED,
        "failed": Refund.Status.FAILED,
        "canceled": Refund.Status.CANCELED,
    }.get(answer["status"] or "", Refund.Status.PENDING)
    _move(
        refund,
        status,
        created=from_timestamp(answer["created"]),
        failure_reason=answer.get("failure_reason") or "",
        moved_money=answer.get("balance_transaction") is not None,
        now=now,
    )
    return refund


def _find(answer: Mapping[str, Any], *, now: datetime) -> Refund:
    """Find the row of a refund, by its id or by the nonce that we sent along; write one for a foreign refund."""
    nonce = dict(answer.get("metadata") or {}).get("refund", "")
    known = Q(stripe_id=answer["id"]) | (Q(nonce=nonce, stripe_id=None) if nonce else Q(pk__in=[]))
    refund = Refund.objects.filter(known).first()
    if refund is not None:
        Order.objects.select_for_update().get(pk=refund.order_id)
        return Refund.objects.get(pk=refund.pk)
    payment = Payment.objects.filter(
        Q(payment_intent=answer.get("payment_intent") or "-") | Q(charge=answer.get("charge") or "-")
    ).first()
    if payment is None:
        raise UnknownPayment(str(answer.get("payment_intent") or answer.get("charge") or answer["id"]))
    order = Order.objects.select_for_update().get(pk=payment.order_id)
    # as soon as the lock is ours the row may be there: told by another event at the same time
    refund = Refund.objects.filter(stripe_id=answer["id"]).first()
    return refund or _adopt(answer, payment, order, now=now)


def _adopt(answer: Mapping[str, Any], payment: Payment, order: Order, *, now: datetime) -> Refund:
    """Write the row of a refund that was made in Stripe's dashboard: an amount, spread by what remains."""
    refund = Refund.objects.create(
        order=order,
        payment=payment,
        nonce=f"stripe-{answer['id']}"[:64],
        stripe_id=answer["id"],
        amount=answer["amount"],
        reason=_("made at Stripe, not in the shop"),
        requested_at=now,
        actor="Stripe",
    )
    _write_lines(refund, plan_of_amount(refund.order, refund.amount))
    _record(OrderEvent.Kind.REFUND_REQUESTED, refund, actor=history.STRIPE, now=now, reason=refund.reason)
    return refund


def _move(
    refund: Refund,
    to: Refund.Status,
    *,
    created: datetime,
    failure_reason: str,
    moved_money: bool,
    now: datetime,
) -> None:
    """Move a refund forward, with what belongs to the move: once, because the update is conditional.

    `created` is when it began at Stripe, whenever we heard of it.
    """
    before = [status for status, rank in RANK.items() if rank < RANK[to] or {status, to} == set(WAITS)]
    if not Refund.objects.filter(pk=refund.pk, status__in=before).update(
        status=to, failure_reason=failure_reason[:200]
    ):
        return
    refund.refresh_from_db(fields=["status", "stripe_id", "failure_reason"])
    message = {"message": failure_reason[:200]} if failure_reason else {}
    _record(EVENTS[to], refund, actor=history.STRIPE, now=now, **message)
    method = method_named(refund.payment.method)
    context = {"refund": refund, "to_bank_account": method.refunds_to_bank_account}
    if to == Refund.Status.REQUIRES_ACTION:
        refunds_payable.post_waiting_refund(refund, since=created, now=now)
        mail.queue(method.refund_waits_mail, refund.order, f"refund:{refund.pk}", context, now=now)
    elif to == Refund.Status.SUCCEEDED:
        mail.queue(OutgoingMail.Kind.REFUNDED, refund.order, f"refund:{refund.pk}", context, now=now)
    elif to in ENDED_BADLY:
        if not moved_money:
            refunds_payable.post_failed_refund(refund, now=now)
        refunds_payable.settle_overdrawn(refund, now=now)
        note_discrepancy(
            Discrepancy.Kind.REFUND_FAILED,
            refund.stripe_id or f"refund {refund.pk}",
            day=business_day(now),
            amount=refund.amount,
            detail=f"{refund.order.number}: ¥{refund.amount} are owed to the customer; {failure_reason}",
            now=now,
        )
