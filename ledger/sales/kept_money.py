"""Money that stays with us although no goods follow: it is moved to other income, by a person with a reason.

A cancellation fee, a refund that the customer does not take, a small excess payment. What was kept cannot be
refunded any more; when Stripe has refunded it after all, it is taken back.
"""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime

from django.db import IntegrityError
from django.db.models import Sum
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, override

from kikaku.transactions import require_transaction, unit_of_work
from ledger.books import journal, posting
from ledger.books.order_buckets import tax_buckets, unallocated_money
from ledger.books.posting import Subject
from ledger.books.tax_buckets import TaxBucket
from ledger.books.tax_rules import TaxStatusMissing
from ledger.models import KeptMoney, KeptMoneyLine, Order, OrderEvent, Refund
from ledger.models.orders import FINISHED_STATUSES, OrderStatus
from ledger.sales import history
from ledger.sales.refund_failure import resolve_excess, resolve_settled
from ledger.sales.refund_plan import missing_money
from ledger.sales.seen import OrderChanged, digest

KEPT = gettext_lazy("The money was moved to other income.")


class KeepRefused(Exception):
    """The order does not have the money; the message says what can be kept. Nothing was changed."""


@dataclass(frozen=True)
class KeptPart:
    """What is taken from one tax bucket, or from none (JPY)."""

    tax_class: str = ""
    prepaid: int = 0  # out of 2130
    payable: int = 0  # out of 2120

    @property
    def amount(self) -> int:
        """The amount of this part."""
        return self.prepaid + self.payable


@dataclass(frozen=True)
class KeepPreview:
    """What keeping an amount would post, as staff see it before they confirm it."""

    amount: int  # JPY, to 4910
    prepaid: int  # out of 2130
    payable: int  # out of 2120
    plan: str  # digest of it, by tax class


def undeliverable(bucket: TaxBucket, *, is_ended: bool) -> int:
    """Return the money (JPY) of a bucket that is paid, and for which nothing will be shipped."""
    left = bucket.prepaid_left
    return max(0, left if is_ended else left - bucket.deliverable)


def keepable_parts(order: Order, *, is_ending: bool = False) -> list[KeptPart]:
    """Return the money of an order that may be kept, by where it is taken from. Seven queries.

    It was paid in excess, is owed since a refund failed, or was paid for what will not be shipped. Money that
    a refund has reserved belongs to the refund. `is_ending`: the order is being cancelled.
    """
    if order.status == OrderStatus.PENDING:
        return []
    money = unallocated_money(order)
    missing = money.overdrawn  # a refund in Stripe's dashboard took it; one of ours will fail for it
    parts = [KeptPart(prepaid=max(0, money.excess - missing), payable=max(0, money.owed))]
    missing -= min(missing, money.excess)
    for bucket in tax_buckets(order).values() if money.is_funded else ():
        left = undeliverable(bucket, is_ended=is_ending or order.status in FINISHED_STATUSES)
        parts.append(KeptPart(bucket.tax_class, prepaid=max(0, left - missing)))
        missing -= min(missing, left)
    return [part for part in parts if part.amount]


def keepable_money(order: Order) -> int:
    """Return the money (JPY) of an order that may be kept. Seven queries."""
    return sum(part.amount for part in keepable_parts(order))


@unit_of_work
def preview(*, order: Order, amount: int) -> KeepPreview:
    """Return what keeping an amount would post now. Raises `KeepRefused` exactly as `keep` would."""
    plan = _plan(Order.objects.lock(order.pk), amount)
    return KeepPreview(
        amount=amount,
        prepaid=sum(part.prepaid for part in plan),
        payable=sum(part.payable for part in plan),
        plan=_digest(plan),
    )


def keep(
    *, order: Order, amount: int, reason: str, nonce: str, actor: str, now: datetime, confirmed: str = ""
) -> KeptMoney:
    """Move an amount (JPY) of an order to other income, for a reason; the same nonce does it once.

    `confirmed` is the plan of the preview that a person has confirmed. Raises `KeepRefused` without a reason,
    beyond what the order has and without a tax status, and `OrderChanged` when the plan is another one now;
    then nothing changed.
    """
    try:
        return _keep(order, amount, reason=reason, nonce=nonce, actor=actor, now=now, confirmed=confirmed)
    except IntegrityError:
        stored = KeptMoney.objects.filter(nonce=nonce, order=order).first()
        if stored is None:
            raise
        return stored


@unit_of_work
def _keep(
    order: Order, amount: int, *, reason: str, nonce: str, actor: str, now: datetime, confirmed: str
) -> KeptMoney:
    order = Order.objects.lock(order.pk)
    stored = KeptMoney.objects.filter(nonce=nonce).first()
    if stored is not None:
        if stored.order_id != order.pk:
            raise KeepRefused(_("This form belongs to another order. Please open it again."))
        return stored
    if not reason.strip():
        raise KeepRefused(_("Write why the money stays with us."))
    plan = _plan(order, amount)
    if confirmed and _digest(plan) != confirmed:
        raise OrderChanged
    kept = _store(order, plan, reason=reason.strip(), nonce=nonce, actor=actor, now=now)
    resolve_settled(order, resolution=KEPT, now=now)
    resolve_excess(order, resolution=KEPT, now=now)
    return kept


def keep_cancellation_fee(order: Order, amount: int, *, actor: str, now: datetime) -> None:
    """Keep a fee (JPY) of a locked, paid order that the caller cancels with it. Raises `KeepRefused`."""
    require_transaction()
    plan = _plan(order, amount, is_ending=True)
    with override("ja"):  # staff read it in the books, whatever language is active
        reason = _("Cancellation fee")
    _store(order, plan, reason=reason, nonce=f"cancel-{order.pk}", actor=actor, now=now)


def _plan(order: Order, amount: int, *, is_ending: bool = False) -> list[KeptPart]:
    """Return where an amount is taken from: what belongs to no bucket first. Raises `KeepRefused`."""
    parts = keepable_parts(order, is_ending=is_ending)
    available = sum(part.amount for part in parts)
    if not available:
        raise KeepRefused(
            _("Nothing of this order can be kept: its money belongs to goods or refunds, or is gone.")
        )
    if not 1 <= amount <= available:
        raise KeepRefused(
            _("An amount between ¥1 and ¥%(available)s can be kept, not ¥%(amount)s.")
            % {"available": f"{available:,}", "amount": f"{amount:,}"}
        )
    return list(_first(parts, amount))


def _first(parts: Sequence[KeptPart], amount: int) -> Iterator[KeptPart]:
    """Yield the first parts that make up an amount."""
    for part in parts:
        prepaid = min(amount, part.prepaid)
        payable = min(amount - prepaid, part.payable)
        amount -= prepaid + payable
        if prepaid or payable:
            yield KeptPart(part.tax_class, prepaid, payable)


def _digest(plan: Sequence[KeptPart]) -> str:
    return digest([astuple(part) for part in plan])


def take_back(refund: Refund, *, now: datetime) -> None:
    """Take back what was kept of the order of a stored refund, as far as the refund needs it.

    Stripe refunds it after all. Part of the caller's transaction, which then plans the refund; the order is
    locked. Does nothing where nothing was kept: one query.
    """
    require_transaction()
    order = refund.order
    kept = [
        KeptPart(*sums)
        for sums in KeptMoneyLine.objects.filter(kept__order=order)
        .order_by("tax_class")
        .values_list("tax_class")
        .annotate(from_prepaid=Sum("prepaid"), from_payable=Sum("payable"))
    ]
    plan = [
        KeptPart(part.tax_class, -part.prepaid, -part.payable)
        for part in _first(kept, missing_money(refund) if kept else 0)
    ]
    if plan:
        with override("ja"):
            reason = _("refunded at Stripe")
        _store(order, plan, reason=reason, nonce=f"refund-{refund.pk}", actor=history.STRIPE, now=now)


def _store(
    order: Order, plan: Sequence[KeptPart], *, reason: str, nonce: str, actor: str, now: datetime
) -> KeptMoney:
    """Store and post kept money, or what is taken back of it (negative), and record it in the history."""
    amount = sum(part.amount for part in plan)
    kept = KeptMoney.objects.create(
        order=order, nonce=nonce, amount=amount, reason=reason[:200], at=now, actor=actor[:150]
    )
    KeptMoneyLine.objects.bulk_create(
        KeptMoneyLine(kept=kept, tax_class=part.tax_class, prepaid=part.prepaid, payable=part.payable)
        for part in plan
    )
    draft = posting.kept_money(
        str(kept.pk),
        prepaid=sum(part.prepaid for part in plan),
        payable=sum(part.payable for part in plan),
        occurred_at=now,
        subject=Subject.of(order),
    )
    try:
        journal.post(draft, now=now)
    except TaxStatusMissing as error:
        raise KeepRefused(str(error)) from error
    history.record(
        order,
        OrderEvent.Kind.MONEY_KEPT if amount > 0 else OrderEvent.Kind.KEPT_TAKEN_BACK,
        actor=actor,
        now=now,
        fact=f"kept:{kept.pk}",
        kept=kept.pk,
        amount=abs(amount),
        reason=kept.reason,
    )
    return kept
