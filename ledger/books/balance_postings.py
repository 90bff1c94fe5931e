"""Post Stripe's balance transactions to the journal.

These are charges, refunds, failed refunds whose money came back, and those that we cannot explain.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Q

from kikaku.money import STANDARD, yen
from kikaku.transactions import require_transaction
from ledger.books import accounts, journal, posting
from ledger.books.discrepancies import KINDS_OF_OBJECTS, note_discrepancy, note_object
from ledger.books.posting import BalanceChange, Draft, RefundPart, Subject
from ledger.books.refunds_payable import refund_parts
from ledger.books.tax_rules import TaxRules, load_tax_rules
from ledger.books.transaction_names import type_name
from ledger.models import BalanceTransaction, Discrepancy, JournalEntry, Order, Payment, Refund

CHARGE_TYPES = frozenset({"charge", "payment"})
REFUND_TYPES = frozenset({"refund", "payment_refund"})
REFUND_FAILURE_TYPES = frozenset({"refund_failure", "payment_failure_refund"})

# for queries; `is_refund` and `is_refund_failure` test the same in Python
IS_CHARGE = Q(type__in=sorted(CHARGE_TYPES))
IS_REFUND = Q(type__in=sorted(REFUND_TYPES), amount__lte=0)
IS_REFUND_FAILURE = Q(type__in=sorted(REFUND_FAILURE_TYPES)) | Q(type__in=sorted(REFUND_TYPES), amount__gt=0)


def is_refund(txn_type: str, amount: int) -> bool:
    """Return whether a balance transaction of this type and amount (JPY) is the money of a refund leaving."""
    return txn_type in REFUND_TYPES and amount <= 0


def is_refund_failure(txn_type: str, amount: int) -> bool:
    """Return whether a balance transaction of this type and amount (JPY) returns a failed refund's money.

    Card refunds have a type of their own for it; other methods have a `payment_refund` with a positive
    amount.
    """
    return txn_type in REFUND_FAILURE_TYPES or (txn_type in REFUND_TYPES and amount > 0)


@dataclass(frozen=True)
class LocalRows:
    """Our payments and refunds, by the ids of their Stripe objects."""

    payments: Mapping[str, Order] = field(default_factory=dict)  # by id of the charge
    refunds: Mapping[str, Refund] = field(default_factory=dict)  # by id of the refund at Stripe


def load_local_rows(sources: Collection[str]) -> LocalRows:
    """Return our payments and refunds whose Stripe ids (ch_…, re_…) are among the sources. Two queries."""
    return LocalRows(
        payments={
            str(payment.charge): payment.order
            for payment in Payment.objects.filter(charge__in=sources).select_related("order")
        },
        refunds={
            str(refund.stripe_id): refund
            for refund in Refund.objects.filter(stripe_id__in=sources).select_related("order")
        },
    )


def post_balance_transactions(
    txns: Sequence[BalanceTransaction], *, now: datetime, rows: LocalRows | None = None
) -> None:
    """Post balance transactions inside the transaction that has just stored them.

    The unique key of the entry prevents a second posting. Unexplained ones are posted too, with a
    `Discrepancy`, so that account 1150 (our Stripe balance) stays correct. The other side is 2130
    (prepayments) for a charge or refund without a row of ours, and 9990 (suspense) for an unknown type or a
    wrong refund amount. One that appears after its day was closed is noted for both days. One with neither
    amount nor fee has no entry.
    """
    require_transaction()
    rows = load_local_rows({txn.source for txn in txns}) if rows is None else rows
    moved = [txn for txn in txns if txn.amount or txn.fee]
    rules = load_tax_rules()
    parts = refund_parts(  # how each refund divides over tax classes, only where Stripe's amount is ours
        [
            (refund, txn.created)
            for txn in moved
            if (refund := _refund_of(txn, rows)) and refund.amount == -txn.amount
        ],
        rules,
    )
    drafts = [_draft(txn, rows, parts, rules) for txn in moved]
    entries = journal.post_all([draft for draft, _problem in drafts], now=now, rules=rules)
    for txn, entry, (_drafted, problem) in zip(moved, entries, drafts, strict=True):
        _note_problems(txn, entry, problem, now=now)


def _refund_of(txn: BalanceTransaction, rows: LocalRows) -> Refund | None:
    """Return our refund whose money left with this transaction."""
    return rows.refunds.get(txn.source) if is_refund(txn.type, txn.amount) else None


def _note_problems(
    txn: BalanceTransaction, entry: JournalEntry, problem: tuple[str, str] | None, *, now: datetime
) -> None:
    """Record what is wrong with a posted transaction, and that it was posted after its day was closed."""
    if problem is not None:
        kind, detail = problem
        note = note_object if kind in KINDS_OF_OBJECTS else note_discrepancy
        is_of_txn = kind in (Discrepancy.Kind.UNKNOWN_TYPE, Discrepancy.Kind.OTHER_BALANCE)
        note(
            kind,
            txn.id if is_of_txn else txn.source or txn.id,  # staff search for the charge or refund
            day=entry.day,
            amount=txn.amount,
            detail=detail,
            now=now,
        )
    if entry.day != txn.day:
        for day in (txn.day, entry.day):
            note_discrepancy(
                Discrepancy.Kind.LATE,
                txn.id,
                day=day,
                amount=txn.net,
                detail=f"{type_name(txn.type)} {txn.source}："
                f"{txn.day} の取引、{entry.day} に計上（伝票 {entry.voucher}）",
                now=now,
            )


def _draft(
    txn: BalanceTransaction, rows: LocalRows, parts: Mapping[int, list[RefundPart]], rules: TaxRules
) -> tuple[Draft, tuple[str, str] | None]:
    """Return the draft of a transaction, and the kind and detail of what is wrong with it, if anything is."""
    exempt, taxable, tax = txn.fee_parts
    change = BalanceChange(
        id=txn.id,
        amount=txn.amount,
        fee_exempt=exempt,
        fee_taxable=taxable,
        fee_tax=tax,
        occurred_at=txn.created,
        account=accounts.stripe_balance_account(txn.other_balance),
        fee_rate=rules.charged_rate(STANDARD, txn.day),
    )
    at_stripe = Subject(txn.source)
    if txn.type in CHARGE_TYPES:
        order = rows.payments.get(txn.source)
        if order is None:
            return posting.capture(change, at_stripe), (
                Discrepancy.Kind.MISSING_IN_BOOKS,
                f"入金 {txn.source} に対応する当方の入金がない",
            )
        return posting.capture(change, Subject.of(order)), None
    refund = rows.refunds.get(txn.source)
    if is_refund(txn.type, txn.amount):
        if refund is None:
            return posting.unknown_refund(change, at_stripe), (
                Discrepancy.Kind.MISSING_IN_BOOKS,
                f"返金 {txn.source} が帳簿にない",
            )
        if refund.amount != -txn.amount:
            return posting.suspense(change, Subject.of(refund.order)), (
                Discrepancy.Kind.AMOUNT,
                f"返金 {txn.source}：当方 {yen(refund.amount)}、Stripe {yen(-txn.amount)}",
            )
        return posting.refund(change, Subject.of(refund.order), parts[refund.pk]), None
    if is_refund_failure(txn.type, txn.amount):
        problem = None
        if refund is None:
            problem = (Discrepancy.Kind.MISSING_IN_BOOKS, f"返金 {txn.source} が帳簿にない")
        return posting.refund_failure(change, Subject.of(refund.order) if refund else at_stripe), problem
    kind, detail = Discrepancy.Kind.UNKNOWN_TYPE, f"{type_name(txn.type)} {txn.source}"
    if txn.other_balance:
        kind = Discrepancy.Kind.OTHER_BALANCE
        detail += f"：Stripe の残高 {txn.other_balance}（勘定 {change.account}）"
    return posting.suspense(change, Subject(f"{txn.type} {txn.source}")), (kind, detail)
