"""Refunds that failed or were cancelled: what is owed now, who is told, and what staff have to do."""

from datetime import date, datetime

from django.db.models import Q
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy, override

from kikaku.money import yen
from kikaku.transactions import require_transaction
from ledger.books import journal, refunds_payable, withdrawn_refunds
from ledger.books.discrepancies import note_discrepancy, resolve_automatically
from ledger.books.order_buckets import tax_buckets, unallocated_money
from ledger.models import Discrepancy, Order, OutgoingMail, Refund
from ledger.models.orders import FINISHED_STATUSES, OrderStatus
from ledger.sales import mail
from ledger.sales.order_end import has_money_for_goods

Kind = Discrepancy.Kind
REFUNDED_AGAIN = gettext_lazy("The money was refunded again.")
EXCESS_REFUNDED = gettext_lazy("What was paid too much was refunded.")
MONEY_IS_BACK = gettext_lazy("The refund was cancelled: the goods are paid for again.")


# Stripe's codes: https://docs.stripe.com/refunds#failed-refunds
REASONS = {
    "lost_or_stolen_card": "カードの紛失・盗難",
    "expired_or_canceled_card": "カードの期限切れ・解約",
    "charge_for_pending_refund_disputed": "係争中の入金",
    "insufficient_funds": "Stripe 残高の不足",
    "declined": "カード会社の拒否",
    "merchant_request": "当店の申し出",
    "unknown": "不明",
}


def object_id(refund: Refund) -> str:
    """Return how discrepancies name a refund: by its id at Stripe, or ours when it has none."""
    return refund.stripe_id or f"refund {refund.pk}"


def refund_named(name: str) -> Refund | None:
    """Return the refund that a discrepancy names, see `object_id`, with its order and payment."""
    pk = name.removeprefix("refund ")
    is_named = Q(pk=int(pk)) if pk != name and pk.isdecimal() else Q(stripe_id=name)
    return Refund.objects.filter(is_named).select_related("order", "payment__order").first()


def record_failure(refund: Refund, *, has_moved_money: bool, day: date, now: datetime) -> None:
    """Post and note that a refund has failed or was cancelled, and tell the customer, who was promised it.

    Part of the transaction that set the status, with the order locked. Without any money moved, a cancelled
    refund is taken back, unless a dashboard refund has used its money; every other one is owed to the
    customer. `day` is the business day in whose close the discrepancy counts.
    """
    require_transaction()
    order = Order.objects.get(pk=refund.order_id)
    has_moved_money = has_moved_money or refunds_payable.has_moved(refund)
    # what a dashboard refund took of the money that was reserved for this one can no longer be taken back
    is_taken = unallocated_money(order).overdrawn > 0
    if refund.status == Refund.Status.CANCELED and not (has_moved_money or is_taken):
        before = unsettled_money(order) - refund.amount  # which counts as owed until it is withdrawn
        withdrawn_refunds.withdraw(refund, now=now)
        if has_money_for_goods(order):
            resolve_automatically(Kind.MONEY_GONE, [order.number], resolution=MONEY_IS_BACK, now=now)
        kind = Kind.WITHDRAWN_TO_DECIDE if unsettled_money(order) > before else Kind.REFUND_WITHDRAWN
        detail = gettext_lazy("The refund of %(amount)s was cancelled at Stripe before its money moved.")
    else:
        if not has_moved_money:
            refunds_payable.post_failed_refund(refund, now=now)
        # a dashboard refund may have used the money reserved for this one: offset the two
        refunds_payable.settle_overdrawn(refund, now=now)
        kind = Kind.REFUND_FAILED if unallocated_money(order).owed else Kind.REFUND_REPLACED
        detail = gettext_lazy("The refund of %(amount)s failed.")
    with override("ja"):  # staff and evidence read it, whatever language is active
        text = str(detail) % {"amount": yen(refund.amount)}
    note_discrepancy(
        kind,
        object_id(refund),
        day=journal.first_open_day(day, last_closed=journal.last_closed_day()),
        amount=refund.amount,
        detail=f"{order.number}: {text}{_reason(refund.failure_reason)}",
        now=now,
    )
    if kind != Kind.REFUND_REPLACED and _was_promised(refund):
        context = {"refund": refund, "withdrawn": refund.withdrawn}
        mail.queue(OutgoingMail.Kind.REFUND_FAILED, order, f"refund:{refund.pk}", context, now=now)


def _reason(failure_reason: str) -> str:
    """Return the reason of a failure in Japanese; a sentence of Stripe's stays on the page of the refund."""
    if not failure_reason:
        return ""
    return f"理由：{REASONS.get(failure_reason, 'Stripe の返答は返金のページに')}"


def _was_promised(refund: Refund) -> bool:
    """Return whether a mail has told the customer of the refund."""
    kinds = OutgoingMail.Kind
    of_refund = refund.order.mails.filter(
        kind__in=(kinds.REFUND_WAITS, kinds.REFUNDED), source=f"refund:{refund.pk}"
    )
    return of_refund.exists() or refund.order.mails.filter(kind=kinds.CANCELLED).exists()


def unsettled_money(order: Order) -> int:
    """Return the money (JPY) that belongs to the customer and is not on its way.

    It is owed since a refund failed, or it was paid for pieces that will not be shipped or have come back.
    Eight queries.
    """
    buckets = tax_buckets(order).values()
    if order.status in FINISHED_STATUSES:
        stranded = sum(bucket.prepaid_left for bucket in buckets)
    else:
        stranded = sum(bucket.prepaid_left - bucket.deliverable for bucket in buckets)
    stranded += sum(bucket.held_sales for bucket in buckets)
    money = unallocated_money(order)
    if order.status == OrderStatus.CANCELLED and not money.is_funded:
        stranded = 0  # its payments never covered it
    return stranded + money.owed


def resolve_excess(order: Order, *, now: datetime, resolution: str | Promise = EXCESS_REFUNDED) -> None:
    """Resolve what asked staff about money that was paid too much, once nothing of it is left.

    Part of the caller's transaction, after some of it was refunded or kept.
    """
    require_transaction()
    if not unallocated_money(order).excess:
        paid = list(order.payments.values_list("payment_intent", flat=True))
        resolve_automatically(Kind.PAID_OTHER_AMOUNT, paid, resolution=resolution, now=now)


def resolve_settled(order: Order, *, now: datetime, resolution: str | Promise = REFUNDED_AGAIN) -> None:
    """Resolve what asked staff to refund again, once nothing more is to be refunded.

    Part of the caller's transaction, after a refund was stored or money was kept.
    """
    require_transaction()
    failed = [object_id(refund) for refund in order.refunds.failed()]
    if failed and not unsettled_money(order):
        for kind in (Kind.REFUND_FAILED, Kind.WITHDRAWN_TO_DECIDE):
            resolve_automatically(kind, failed, resolution=resolution, now=now)
