"""Drafts of journal entries for each kind of source: pure functions that know accounts and sides only.

`ledger.books.recognition`, `balance_postings` and `refunds_payable` read the amounts from the rows, and
`ledger.books.journal` writes the draft. Lines of ¥0 are omitted. The tax that a refund reverses is the
tax on everything refunded so far less what earlier refunds reversed, so that a full refund reverses exactly
the tax that was posted (`ledger.books.tax_buckets`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from ledger.books import accounts
from ledger.books.tax_buckets import RecognisedSale

# values of `JournalEntry.source_type`
BALANCE_TRANSACTION_SOURCE = "balance_transaction"
SHIPMENT_SOURCE = "shipment"
REFUND_SOURCE = "refund"
ENTRY_SOURCE = "entry"

# values of `JournalEntry.purpose`
CAPTURE_PURPOSE = "capture"
REFUND_PURPOSE = "refund"
REFUND_FAILURE_PURPOSE = "refund_failure"
RECOGNITION_PURPOSE = "recognition"
SETTLEMENT_PURPOSE = "settled"
TAX_CORRECTION_PURPOSE = "tax_correction"
SUSPENSE_PURPOSE = "suspense"
REVERSAL_PURPOSE = "reversal"
WAITING_PURPOSE = "waiting"
FAILED_PURPOSE = "failed"

# the purposes of `unpaid_refund`, each with its description; a refund has one of them at most
UNPAID_REFUND_PURPOSES = {WAITING_PURPOSE: "返金待ち", FAILED_PURPOSE: "返金未了"}


@dataclass(frozen=True)
class Line:
    """One line of an entry: an account with exactly one positive side (JPY)."""

    account: str
    debit: int = 0
    credit: int = 0


@dataclass(frozen=True)
class Draft:
    """An entry that is not written yet. (source_type, source_id, purpose) identifies it for ever."""

    source_type: str
    source_id: str
    purpose: str
    description: str
    occurred_at: datetime
    order_id: int | None
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class BalanceChange:
    """A change of one of Stripe's balances: one balance transaction. JPY, signed as Stripe signs."""

    id: str  # txn_…
    amount: int  # gross: positive when it adds to the balance
    fee: int  # including its tax; the net is amount − fee
    fee_tax: int  # tax in the fee by `fee_details`
    is_fee_taxed: bool  # a taxable fee (6111), even if its tax is ¥0; else an exempt one (6110)
    occurred_at: datetime
    account: str = accounts.STRIPE_BALANCE  # of the balance that changed


@dataclass(frozen=True)
class RefundPart:
    """The share of a refund that comes from one tax bucket, or from none; gross JPY."""

    rate: int | None  # None: from no bucket (an excess payment, or owed since a refund failed)
    prepaid: int = 0  # out of 2130
    recognised: int = 0  # out of sales, including tax
    tax: int = 0  # the output tax contained in `recognised`
    payable: int = 0  # out of 2120


def _debit(account: str, amount: int) -> Line:
    """Return a line with the amount on the debit side; a negative amount becomes a credit."""
    return Line(account, debit=amount) if amount >= 0 else Line(account, credit=-amount)


def _credit(account: str, amount: int) -> Line:
    return _debit(account, -amount)


def _without_zeros(lines: Iterable[Line]) -> tuple[Line, ...]:
    return tuple(line for line in lines if line.debit or line.credit)


def fee_lines(
    fee: int, fee_tax: int, *, is_taxed: bool, account: str = accounts.STRIPE_BALANCE
) -> list[Line]:
    """Return the lines of a fee: exempt from tax (6110), or taxable (6111) with its input tax (1410)."""
    if is_taxed:
        return [
            _debit(accounts.FEES_TAXABLE, fee - fee_tax),
            _debit(accounts.INPUT_TAX, fee_tax),
            _credit(account, fee),
        ]
    return [_debit(accounts.FEES_EXEMPT, fee), _credit(account, fee)]


def _balance_change_draft(
    change: BalanceChange, purpose: str, description: str, order_id: int | None, lines: Sequence[Line]
) -> Draft:
    return Draft(
        source_type=BALANCE_TRANSACTION_SOURCE,
        source_id=change.id,
        purpose=purpose,
        description=description,
        occurred_at=change.occurred_at,
        order_id=order_id,
        lines=_without_zeros(
            [
                *lines,
                *fee_lines(change.fee, change.fee_tax, is_taxed=change.is_fee_taxed, account=change.account),
            ]
        ),
    )


def capture(change: BalanceChange, *, order_id: int | None, reference: str) -> Draft:
    """Draft a captured payment: the gross amount is the customer's prepayment (2130), the fee our expense."""
    return _balance_change_draft(
        change,
        CAPTURE_PURPOSE,
        f"入金 {reference}",
        order_id,
        [
            _debit(change.account, change.amount),
            _credit(accounts.PREPAYMENTS, change.amount),
        ],
    )


def _refund_debits(parts: Sequence[RefundPart]) -> list[Line]:
    """Return the debit side of a refund: prepayments without tax, sales with the tax reversed."""
    lines = [
        _debit(accounts.REFUNDS_PAYABLE, sum(part.payable for part in parts)),
        _debit(accounts.PREPAYMENTS, sum(part.prepaid for part in parts)),
    ]
    for part in parts:
        if part.recognised:
            if part.rate is None:
                raise ValueError("A refund of recognised sales needs its tax rate.")
            lines += [
                _debit(accounts.RETURNS_ACCOUNTS[part.rate], part.recognised - part.tax),
                _debit(accounts.OUTPUT_TAX_ACCOUNTS[part.rate], part.tax),
            ]
    return lines


def refund(
    change: BalanceChange, *, order_id: int | None, reference: str, parts: Sequence[RefundPart]
) -> Draft:
    """Draft a refund that left Stripe's balance. Stripe keeps the payment's fee: it has no line."""
    return _balance_change_draft(
        change,
        REFUND_PURPOSE,
        f"返金 {reference}",
        order_id,
        [*_refund_debits(parts), _debit(change.account, change.amount)],  # negative: a credit
    )


def refund_failure(change: BalanceChange, *, order_id: int | None, reference: str) -> Draft:
    """Draft the return of a failed refund's money: it is still owed to the customer (2120)."""
    return _balance_change_draft(
        change,
        REFUND_FAILURE_PURPOSE,
        f"返金失敗 {reference}",
        order_id,
        [
            _debit(change.account, change.amount),
            _credit(accounts.REFUNDS_PAYABLE, change.amount),
        ],
    )


def unpaid_refund(
    refund_id: str,
    purpose: str,
    *,
    occurred_at: datetime,
    order_id: int,
    reference: str,
    parts: Sequence[RefundPart],
) -> Draft:
    """Draft a refund that waits or failed before its money moved: it is owed to the customer (2120)."""
    debits = _refund_debits([replace(part, payable=0) for part in parts])  # what was owed before stays owed
    owed = sum(part.prepaid + part.recognised for part in parts)
    return Draft(
        source_type=REFUND_SOURCE,
        source_id=refund_id,
        purpose=purpose,
        description=f"{UNPAID_REFUND_PURPOSES[purpose]} {reference}",
        occurred_at=occurred_at,
        order_id=order_id,
        lines=_without_zeros([*debits, _credit(accounts.REFUNDS_PAYABLE, owed)]),
    )


def settlement(refund_id: str, *, amount: int, occurred_at: datetime, order_id: int, reference: str) -> Draft:
    """Draft the transfer from 2120 to 2130 of what a failed refund left owed and another refund has paid.

    The other refund took the money out of 2130.
    """
    return Draft(
        source_type=REFUND_SOURCE,
        source_id=refund_id,
        purpose=SETTLEMENT_PURPOSE,
        description=f"返金未払充当 {reference}",
        occurred_at=occurred_at,
        order_id=order_id,
        lines=(Line(accounts.REFUNDS_PAYABLE, debit=amount), Line(accounts.PREPAYMENTS, credit=amount)),
    )


def tax_correction(
    refund_id: str, *, occurred_at: datetime, order_id: int, reference: str, differences: Mapping[int, int]
) -> Draft:
    """Draft what the tax of an order's other refunds changes by when this one is withdrawn, by rate."""
    lines: list[Line] = []
    for rate, difference in differences.items():
        lines += [
            _debit(accounts.OUTPUT_TAX_ACCOUNTS[rate], difference),
            _credit(accounts.RETURNS_ACCOUNTS[rate], difference),
        ]
    return Draft(
        source_type=REFUND_SOURCE,
        source_id=refund_id,
        purpose=TAX_CORRECTION_PURPOSE,
        description=f"返金取消に伴う税額調整 {reference}",
        occurred_at=occurred_at,
        order_id=order_id,
        lines=_without_zeros(lines),
    )


def shipment(
    shipment_id: str,
    *,
    occurred_at: datetime,
    order_id: int,
    reference: str,
    sales: Sequence[RecognisedSale],
    withdrawn_refund: str = "",
) -> Draft:
    """Draft a shipment: prepayments become sales, shipping income and output tax, per rate.

    With `withdrawn_refund` it is what the parcel lacked because that refund had reserved it.
    """
    lines = [_debit(accounts.PREPAYMENTS, sum(sale.gross for sale in sales))]
    for sale in sales:
        lines += [
            _credit(accounts.SALES_ACCOUNTS[sale.rate], sale.goods),
            _credit(accounts.SHIPPING_INCOME, sale.shipping),
            _credit(accounts.OUTPUT_TAX_ACCOUNTS[sale.rate], sale.tax),
        ]
    purpose, description = RECOGNITION_PURPOSE, f"出荷 {reference}"
    if withdrawn_refund:
        purpose, description = f"{RECOGNITION_PURPOSE} {withdrawn_refund}", f"出荷（返金取消分） {reference}"
    return Draft(
        source_type=SHIPMENT_SOURCE,
        source_id=shipment_id,
        purpose=purpose,
        description=description,
        occurred_at=occurred_at,
        order_id=order_id,
        lines=_without_zeros(lines),
    )


def suspense(change: BalanceChange, *, order_id: int | None, reference: str) -> Draft:
    """Draft an unexplained change against 9990, so that 1150 stays correct; a person explains it later."""
    return _balance_change_draft(
        change,
        SUSPENSE_PURPOSE,
        f"仮勘定 {reference}",
        order_id,
        [
            _debit(change.account, change.amount),
            _credit(accounts.SUSPENSE, change.amount),
        ],
    )


def unknown_refund(change: BalanceChange, *, reference: str) -> Draft:
    """Draft a refund without a row of ours against prepayments (2130), until a person assigns it."""
    return _balance_change_draft(
        change,
        REFUND_PURPOSE,
        f"返金 {reference}",
        None,
        [
            _credit(accounts.PREPAYMENTS, change.amount),
            _debit(change.account, change.amount),
        ],
    )


def reversal(
    entry_id: str, *, occurred_at: datetime, order_id: int | None, description: str, lines: Sequence[Line]
) -> Draft:
    """Draft an entry with the sides exchanged: a correction is a reversal plus a new entry, never an edit."""
    return Draft(
        source_type=ENTRY_SOURCE,
        source_id=entry_id,
        purpose=REVERSAL_PURPOSE,
        description=f"反対仕訳 {description}"[:200],
        occurred_at=occurred_at,
        order_id=order_id,
        lines=tuple(Line(line.account, debit=line.credit, credit=line.debit) for line in lines),
    )
