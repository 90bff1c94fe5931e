"""Checks that each entry stands for a row of ours, with that row's order and amounts."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from django.db.models import CharField, Exists, OuterRef, QuerySet, Sum
from django.db.models.functions import Cast

from kikaku.money import TAX_CLASSES
from ledger.books import accounts, posting
from ledger.books.balance_postings import CHARGE_TYPES, REFUND_FAILURE_TYPES, REFUND_TYPES
from ledger.books.tax import value_of_pieces
from ledger.closing.checks.entries import balance_transactions
from ledger.closing.findings import Check, Finding
from ledger.models import (
    BalanceTransaction,
    JournalEntry,
    JournalLine,
    KeptMoney,
    Payment,
    Refund,
    RefundLine,
    Shipment,
    ShipmentLine,
)

# the purposes that an entry of a source may have
PURPOSES: Mapping[str, frozenset[str]] = {
    posting.BALANCE_TRANSACTION_SOURCE: frozenset(
        {
            posting.CAPTURE_PURPOSE,
            posting.REFUND_PURPOSE,
            posting.REFUND_FAILURE_PURPOSE,
            posting.SUSPENSE_PURPOSE,
        }
    ),
    posting.SHIPMENT_SOURCE: frozenset({posting.RECOGNITION_PURPOSE}),
    posting.REFUND_SOURCE: frozenset(
        {*posting.UNPAID_REFUND_PURPOSES, posting.SETTLEMENT_PURPOSE, posting.TAX_CORRECTION_PURPOSE}
    ),
    posting.KEPT_MONEY_SOURCE: frozenset({posting.KEPT_PURPOSE}),
    posting.ENTRY_SOURCE: frozenset({posting.REVERSAL_PURPOSE}),
}
OF_CHARGE = frozenset({posting.CAPTURE_PURPOSE})
OF_REFUND = frozenset({posting.REFUND_PURPOSE, posting.REFUND_FAILURE_PURPOSE, posting.SUSPENSE_PURPOSE})
OF_REFUND_FAILURE = frozenset({posting.REFUND_FAILURE_PURPOSE})
OF_OTHERS = frozenset({posting.SUSPENSE_PURPOSE})
PURPOSES_OF_TYPE = {
    **dict.fromkeys(CHARGE_TYPES, OF_CHARGE),
    **dict.fromkeys(REFUND_TYPES, OF_REFUND),
    **dict.fromkeys(REFUND_FAILURE_TYPES, OF_REFUND_FAILURE),
}
OF_STRIPE = frozenset(  # what `entries.transaction_entries` compares with the balance transaction
    {*accounts.STRIPE_BALANCES, accounts.FEES_EXEMPT, accounts.FEES_TAXABLE, accounts.INPUT_TAX}
)
SALES = "sales and tax, {tax_class} rate"  # in what a refund of sales takes: net and tax together
CLASS_OF_REFUND_ACCOUNT = {
    account: tax_class
    for tax_class in TAX_CLASSES
    for account in (accounts.RETURNS_ACCOUNTS[tax_class], accounts.OUTPUT_TAX_ACCOUNTS[tax_class])
}

Amounts = dict[str, int]  # by account: debit − credit, JPY


@dataclass
class _Rows:
    """The rows behind a portion of entries, by the ids that entries name."""

    amounts: defaultdict[int, Amounts]  # of each entry
    transactions: Mapping[str, BalanceTransaction]
    payments: Mapping[str, int]  # charge → order
    refunds: Mapping[str, Refund]
    stripe_refunds: Mapping[str, Refund]
    refund_parts: Mapping[int, Amounts]  # what each refund takes
    owed: frozenset[str]  # refunds with an entry that says: owed
    shipments: Mapping[str, Shipment]
    kept: Mapping[str, KeptMoney]  # with its lines
    values: Mapping[int, int] = field(default_factory=dict)  # shipment → JPY, of orders without refunds


def entry_sources(
    entries: QuerySet[JournalEntry], transactions: Iterable[BalanceTransaction] | None = None
) -> Iterator[Finding]:
    """Check that each entry has its row, its purpose, its order and its amounts; a reversal its original.

    `transactions` are those behind the entries, where the caller has read them.
    """
    found = list(entries.select_related("reverses").order_by("pk"))
    rows = _read(
        entries,
        transactions,
        reverse_others=any(entry.reverses_id for entry in found),
        keep_money=any(entry.source_type == posting.KEPT_MONEY_SOURCE for entry in found),
    )
    for entry in found:
        if _purpose(entry) not in PURPOSES.get(entry.source_type, ()):
            known = ", ".join(f"{source}: {' '.join(sorted(them))}" for source, them in PURPOSES.items())
            yield _finding(Check.ENTRY_SOURCE, entry, known, f"{entry.source_type} {entry.purpose}")
        elif entry.reverses_id is not None and entry.source_type != posting.ENTRY_SOURCE:
            yield _finding(
                Check.ENTRY_SOURCE, entry, "no entry that it reverses", f"entry {entry.reverses_id}"
            )
        elif entry.source_type == posting.BALANCE_TRANSACTION_SOURCE:
            yield from _of_transaction(entry, rows)
        elif entry.source_type == posting.SHIPMENT_SOURCE:
            yield from _of_shipment(entry, rows)
        elif entry.source_type == posting.REFUND_SOURCE:
            yield from _of_refund(entry, rows)
        elif entry.source_type == posting.KEPT_MONEY_SOURCE:
            yield from _of_kept_money(entry, rows)
        else:
            yield from _of_reversal(entry, rows)


def _purpose(entry: JournalEntry) -> str:
    """Return the purpose of an entry, without the refund after whose withdrawal a parcel was recognised."""
    if entry.source_type == posting.SHIPMENT_SOURCE:
        return entry.purpose.partition(" ")[0]
    return entry.purpose


def _finding(check: Check, entry: JournalEntry, expected: str, found: str) -> Finding:
    name = f"{entry.voucher} ({entry.source_type} {entry.source_id} {entry.purpose})"
    return Finding(check, "JournalEntry", name, expected, found)


def _compare(entry: JournalEntry, expected: Amounts, found: Amounts) -> Iterator[Finding]:
    expected = {account: amount for account, amount in sorted(expected.items()) if amount}
    found = {account: amount for account, amount in sorted(found.items()) if amount}
    if expected != found:
        yield _finding(Check.ENTRY_AMOUNT, entry, _written(expected), _written(found))


def _written(amounts: Amounts) -> str:
    return ", ".join(f"{account} {amount}" for account, amount in amounts.items()) or "nothing"


def _of_order(entry: JournalEntry, order_id: int | None) -> Iterator[Finding]:
    if entry.order_id != order_id:
        yield _finding(Check.ENTRY_SOURCE, entry, f"order {order_id}", f"order {entry.order_id}")


# ── What Stripe reported ─────────────────────────────────────────────────────────────────────────────────


def _of_transaction(entry: JournalEntry, rows: _Rows) -> Iterator[Finding]:
    txn = rows.transactions.get(entry.source_id)
    if txn is None:
        return  # `entries.transaction_entries` reports it
    purposes = PURPOSES_OF_TYPE.get(txn.type, OF_OTHERS)
    if entry.purpose not in purposes:
        yield _finding(Check.ENTRY_SOURCE, entry, " or ".join(sorted(purposes)), entry.purpose)
        return
    refund = rows.stripe_refunds.get(txn.source)
    other_side = {
        account: sum_ for account, sum_ in rows.amounts[entry.pk].items() if account not in OF_STRIPE
    }
    if entry.purpose == posting.CAPTURE_PURPOSE:
        order_id = rows.payments.get(txn.source)
        expected = {accounts.PREPAYMENTS: -txn.amount}
    elif entry.purpose == posting.REFUND_PURPOSE and entry.order_id is not None and refund is not None:
        order_id = refund.order_id
        is_owed = str(refund.pk) in rows.owed
        expected = {accounts.REFUNDS_PAYABLE: refund.amount} if is_owed else rows.refund_parts[refund.pk]
        other_side = _by_class(other_side)
    elif entry.purpose == posting.REFUND_PURPOSE:  # posted before a row of ours was known
        order_id = None
        expected = {accounts.PREPAYMENTS: -txn.amount}
    else:
        account = accounts.SUSPENSE if entry.purpose == posting.SUSPENSE_PURPOSE else accounts.REFUNDS_PAYABLE
        order_id = refund.order_id if refund else None
        expected = {account: -txn.amount}
    if entry.order_id is not None:  # an entry that was posted before its row was known names no order
        yield from _of_order(entry, order_id)
    yield from _compare(entry, expected, other_side)


def _by_class(amounts: Amounts) -> Amounts:
    """Return the amounts with returns and reversed tax of a class added up: their split is cumulative."""
    merged: defaultdict[str, int] = defaultdict(int)
    for account, amount in amounts.items():
        tax_class = CLASS_OF_REFUND_ACCOUNT.get(account)
        merged[account if tax_class is None else SALES.format(tax_class=tax_class)] += amount
    return dict(merged)


# ── Our own documents ────────────────────────────────────────────────────────────────────────────────────


def _of_shipment(entry: JournalEntry, rows: _Rows) -> Iterator[Finding]:
    shipment = rows.shipments.get(entry.source_id)
    if shipment is None or shipment.order_id != entry.order_id:
        yield _finding(Check.ENTRY_SOURCE, entry, f"a parcel of order {entry.order_id}", "none")
        return
    _recognition, _blank, refund_id = entry.purpose.partition(" ")
    if refund_id:
        refund = rows.refunds.get(refund_id)
        if refund is None or refund.order_id != entry.order_id or not refund.withdrawn:
            yield _finding(Check.ENTRY_SOURCE, entry, "a withdrawn refund of its order", "none")
    elif shipment.shipped_at != entry.occurred_at:
        yield _finding(Check.ENTRY_SOURCE, entry, str(shipment.shipped_at), str(entry.occurred_at))
    value, taken = rows.values.get(shipment.pk), rows.amounts[entry.pk].get(accounts.PREPAYMENTS, 0)
    if value is not None and value != taken:
        yield _finding(
            Check.ENTRY_AMOUNT, entry, f"{accounts.PREPAYMENTS} {value}", _written(rows.amounts[entry.pk])
        )


def _of_refund(entry: JournalEntry, rows: _Rows) -> Iterator[Finding]:
    refund = rows.refunds.get(entry.source_id)
    if refund is None or refund.order_id != entry.order_id:
        yield _finding(Check.ENTRY_SOURCE, entry, f"a refund of order {entry.order_id}", "none")
        return
    found = _by_class(rows.amounts[entry.pk])
    if entry.purpose == posting.SETTLEMENT_PURPOSE:
        settled = found.get(accounts.REFUNDS_PAYABLE, 0)
        if refund.status not in Refund.FAILED_STATUSES:
            yield _finding(Check.ENTRY_SOURCE, entry, "a failed refund", refund.status)
        yield from _compare(entry, {accounts.REFUNDS_PAYABLE: settled, accounts.PREPAYMENTS: -settled}, found)
        return
    if entry.purpose == posting.TAX_CORRECTION_PURPOSE:
        if not refund.withdrawn:
            yield _finding(Check.ENTRY_SOURCE, entry, "a withdrawn refund", refund.status)
        yield from _compare(entry, {}, found)  # only between sales and tax of a class
        return
    parts = {
        account: amount
        for account, amount in rows.refund_parts[refund.pk].items()
        if account != accounts.REFUNDS_PAYABLE  # what was owed before stays owed
    }
    yield from _compare(entry, {**parts, accounts.REFUNDS_PAYABLE: -sum(parts.values())}, found)


def _of_kept_money(entry: JournalEntry, rows: _Rows) -> Iterator[Finding]:
    kept = rows.kept.get(entry.source_id)
    if kept is None or kept.order_id != entry.order_id:
        yield _finding(Check.ENTRY_SOURCE, entry, f"kept money of order {entry.order_id}", "none")
        return
    lines = kept.lines.all()
    expected = {
        accounts.PREPAYMENTS: sum(line.prepaid for line in lines),
        accounts.REFUNDS_PAYABLE: sum(line.payable for line in lines),
        accounts.OTHER_INCOME: -kept.amount,
    }
    yield from _compare(entry, expected, rows.amounts[entry.pk])


def _of_reversal(entry: JournalEntry, rows: _Rows) -> Iterator[Finding]:
    original = entry.reverses
    if original is None or str(original.pk) != entry.source_id:
        yield _finding(
            Check.ENTRY_SOURCE, entry, f"reverses entry {entry.source_id}", f"reverses {entry.reverses_id}"
        )
        return
    yield from _of_order(entry, original.order_id)
    reversed_ = {account: -amount for account, amount in rows.amounts[original.pk].items()}
    yield from _compare(entry, reversed_, rows.amounts[entry.pk])


# ── Reading ──────────────────────────────────────────────────────────────────────────────────────────────


def _read(
    entries: QuerySet[JournalEntry],
    known_transactions: Iterable[BalanceTransaction] | None,
    *,
    reverse_others: bool,
    keep_money: bool,
) -> _Rows:
    """Read the rows behind a portion of entries. A dozen queries.

    `reverse_others` is whether any of them reverses an entry, `keep_money` whether any is of kept money.
    """
    transactions = balance_transactions(entries)
    of_orders = entries.filter(order__isnull=False).values("order")
    refunds = list(Refund.objects.filter(order__in=of_orders))
    return _Rows(
        amounts=_amounts(entries, reverse_others=reverse_others),
        transactions={
            txn.pk: txn for txn in (transactions if known_transactions is None else known_transactions)
        },
        payments={
            str(charge): order_id
            for charge, order_id in Payment.objects.filter(
                charge__in=transactions.values("source")
            ).values_list("charge", "order_id")
        },
        refunds={str(refund.pk): refund for refund in refunds},
        stripe_refunds={refund.stripe_id: refund for refund in refunds if refund.stripe_id},
        refund_parts=_refund_parts(refunds, RefundLine.objects.filter(refund__order__in=of_orders)),
        owed=frozenset(
            JournalEntry.objects.filter(
                order__in=of_orders,
                source_type=posting.REFUND_SOURCE,
                purpose__in=posting.UNPAID_REFUND_PURPOSES,
            ).values_list("source_id", flat=True)
        ),
        shipments={
            str(shipment.pk): shipment
            for shipment in Shipment.objects.filter(
                order__in=entries.filter(source_type=posting.SHIPMENT_SOURCE).values("order")
            )
        },
        kept={
            str(kept.pk): kept
            for kept in KeptMoney.objects.filter(order__in=of_orders).prefetch_related("lines")
        }
        if keep_money
        else {},
        values=_parcel_values(entries),
    )


def _amounts(entries: QuerySet[JournalEntry], *, reverse_others: bool) -> defaultdict[int, Amounts]:
    """Return debit − credit by account of each entry, and of the entries that they reverse, if they do."""
    amounts: defaultdict[int, Amounts] = defaultdict(dict)
    originals = JournalEntry.objects.filter(reversed_by__in=entries)
    # together, PostgreSQL would read the whole journal
    for some in (entries, originals) if reverse_others else (entries,):
        for entry_id, account, debit, credit in (
            JournalLine.objects.filter(entry__in=some)
            .values_list("entry_id", "account_id")
            .annotate(debits=Sum("debit"), credits=Sum("credit"))
            .order_by()
            .values_list("entry_id", "account_id", "debits", "credits")
        ):
            amounts[entry_id][account] = debit - credit
    return amounts


def _refund_parts(refunds: Iterable[Refund], lines: Iterable[RefundLine]) -> dict[int, Amounts]:
    """Return what each refund takes by account; sales and their tax of a class together."""
    parts: dict[int, defaultdict[str, int]] = {refund.pk: defaultdict(int) for refund in refunds}
    for line in lines:
        of_refund = parts[line.refund_id]
        of_refund[accounts.PREPAYMENTS] += line.prepaid
        of_refund[accounts.REFUNDS_PAYABLE] += line.payable
        if line.recognised:
            of_refund[SALES.format(tax_class=line.tax_class)] += line.recognised
    return {pk: dict(of_refund) for pk, of_refund in parts.items()}


def _parcel_values(entries: QuerySet[JournalEntry]) -> dict[int, int]:
    """Return what each parcel recognises (JPY): its pieces, and the shipping fee with an order's first entry.

    A gift without the fee has no entry; in books of earlier versions a gift that left first has the fee.
    Parcels of orders with refunds are left out: they recognise at most what the refunds left
    (`orders.shipped_orders` compares the whole).
    """
    shipped = entries.filter(source_type=posting.SHIPMENT_SOURCE).values("order")
    refunded = RefundLine.objects.filter(refund__order=OuterRef("shipment__order"))
    values: defaultdict[int, int] = defaultdict(int)
    before: defaultdict[int, int] = defaultdict(int)  # pieces of a line in earlier parcels
    seen: set[int] = set()  # orders
    posted = JournalEntry.objects.filter(
        source_type=posting.SHIPMENT_SOURCE,
        source_id=Cast(OuterRef("shipment"), CharField(max_length=20)),
        purpose=posting.RECOGNITION_PURPOSE,
    )
    for part in (
        ShipmentLine.objects.filter(shipment__order__in=shipped)
        .exclude(Exists(refunded))
        .annotate(is_posted=Exists(posted))
        .select_related("shipment__order", "order_line")
        .order_by("shipment_id", "pk")
    ):
        line, shipment = part.order_line, part.shipment
        if part.is_posted and shipment.order_id not in seen:
            seen.add(shipment.order_id)
            values[shipment.pk] += shipment.order.shipping_fee
        values[shipment.pk] += value_of_pieces(line.total, line.quantity, before[line.pk], part.quantity)
        before[line.pk] += part.quantity
    return values
