"""Facts become balanced drafts of journal entries: pure functions, the accounts and sides and nothing else.

Whoever posts gives the fact; `ledger.books.recognition` and `ledger.books.order_pots` find the numbers in the rows,
`ledger.books.journal` writes the draft.
Lines of ¥0 are left out; tax on a refund is taken back as it was posted, cumulatively (`ledger.books.pots`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from ledger.books import accounts
from ledger.books.pots import Recognised

BALANCE_TRANSACTION = "balance_transaction"
SHIPMENT = "shipment"
REFUND = "refund"
ENTRY = "entry"
SETTLED = "settled"  # purpose of `settled`
WAITING, FAILED = "waiting", "failed"  # purposes of `unpaid_refund`: a refund has one of them at most
OWED = {WAITING: "返金待ち", FAILED: "返金未了"}


@dataclass(frozen=True)
class Line:
    """One account's side: exactly one of debit and credit is positive (JPY)."""

    account: str
    debit: int = 0
    credit: int = 0


@dataclass(frozen=True)
class Draft:
    """An entry to be: what caused it, when, and its lines. (source_type, source_id, purpose) names it for ever."""

    source_type: str
    source_id: str
    purpose: str
    description: str
    occurred_at: datetime
    order_id: int | None
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Change:
    """A change of Stripe's balance: one balance transaction. JPY, signed as Stripe signs."""

    id: str  # txn_…
    amount: int  # gross: positive when it adds to the balance
    fee: int  # tax on it included; the net is amount − fee
    fee_tax: int  # by `fee_details`: what decides between 6110 and 6111, not the card's brand
    occurred_at: datetime


@dataclass(frozen=True)
class RefundPart:
    """Where a part of a refund comes from; gross JPY."""

    rate: int | None  # None: bound to no pot (an excess payment, or owed from a failed refund)
    prepaid: int = 0  # out of 2130
    recognised: int = 0  # out of sales, tax included
    tax: int = 0  # the output tax within `recognised`
    payable: int = 0  # out of 2120


def _debit(account: str, amount: int) -> Line:
    """Put an amount on the debit side; a negative one is a credit."""
    return Line(account, debit=amount) if amount >= 0 else Line(account, credit=-amount)


def _credit(account: str, amount: int) -> Line:
    return _debit(account, -amount)


def _clean(lines: Iterable[Line]) -> tuple[Line, ...]:
    return tuple(line for line in lines if line.debit or line.credit)


def fee_lines(fee: int, fee_tax: int) -> list[Line]:
    """Give the lines of a fee that Stripe kept: exempt (6110), or taxable (6111) with its input tax (1410)."""
    if fee_tax:
        return [
            _debit(accounts.FEES_TAXABLE, fee - fee_tax),
            _debit(accounts.INPUT_TAX, fee_tax),
            _credit(accounts.STRIPE_BALANCE, fee),
        ]
    return [_debit(accounts.FEES_EXEMPT, fee), _credit(accounts.STRIPE_BALANCE, fee)]


def _of_change(
    change: Change, purpose: str, description: str, order_id: int | None, lines: Sequence[Line]
) -> Draft:
    return Draft(
        source_type=BALANCE_TRANSACTION,
        source_id=change.id,
        purpose=purpose,
        description=description,
        occurred_at=change.occurred_at,
        order_id=order_id,
        lines=_clean([*lines, *fee_lines(change.fee, change.fee_tax)]),
    )


def capture(change: Change, *, order_id: int | None, reference: str) -> Draft:
    """Post a captured payment: the gross is owed to the customer as goods (2130), the fee is ours."""
    return _of_change(
        change,
        "capture",
        f"入金 {reference}",
        order_id,
        [
            _debit(accounts.STRIPE_BALANCE, change.amount),
            _credit(accounts.PREPAYMENTS, change.amount),
        ],
    )


def _refund_debits(parts: Sequence[RefundPart]) -> list[Line]:
    """Give the debit side of a refund: prepayments without tax, sales with the tax taken back."""
    lines = [
        _debit(accounts.REFUNDS_PAYABLE, sum(part.payable for part in parts)),
        _debit(accounts.PREPAYMENTS, sum(part.prepaid for part in parts)),
    ]
    for part in parts:
        if part.recognised:
            if part.rate is None:
                raise ValueError("A refund of recognised sales needs its tax rate.")
            lines += [
                _debit(accounts.RETURNS[part.rate], part.recognised - part.tax),
                _debit(accounts.OUTPUT_TAX[part.rate], part.tax),
            ]
    return lines


def refund(change: Change, *, order_id: int | None, reference: str, parts: Sequence[RefundPart]) -> Draft:
    """Post a refund that left Stripe's balance. The fee of the payment is not returned: no entry for it."""
    return _of_change(
        change,
        "refund",
        f"返金 {reference}",
        order_id,
        [*_refund_debits(parts), _debit(accounts.STRIPE_BALANCE, change.amount)],
    )


def refund_failure(change: Change, *, order_id: int | None, reference: str) -> Draft:
    """Post the money of a failed refund that came back: it is still owed to the customer (2120)."""
    return _of_change(
        change,
        "refund_failure",
        f"返金失敗 {reference}",
        order_id,
        [
            _debit(accounts.STRIPE_BALANCE, change.amount),
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
    """Post a refund of which no money moved, since it waits or failed: its parts are owed to the customer (2120)."""
    fresh = [replace(part, payable=0) for part in parts]  # what was owed before is owed still
    owed = sum(part.prepaid + part.recognised for part in parts)
    return Draft(
        source_type=REFUND,
        source_id=refund_id,
        purpose=purpose,
        description=f"{OWED[purpose]} {reference}",
        occurred_at=occurred_at,
        order_id=order_id,
        lines=_clean([*_refund_debits(fresh), _credit(accounts.REFUNDS_PAYABLE, owed)]),
    )


def settled(refund_id: str, *, amount: int, occurred_at: datetime, order_id: int, reference: str) -> Draft:
    """Post that a part of what is owed since a refund failed went back already, out of prepayments, by another one."""
    return Draft(
        source_type=REFUND,
        source_id=refund_id,
        purpose=SETTLED,
        description=f"返金未払充当 {reference}",
        occurred_at=occurred_at,
        order_id=order_id,
        lines=(Line(accounts.REFUNDS_PAYABLE, debit=amount), Line(accounts.PREPAYMENTS, credit=amount)),
    )


def shipment(
    shipment_id: str, *, occurred_at: datetime, order_id: int, reference: str, parts: Sequence[Recognised]
) -> Draft:
    """Post a parcel that left: prepayments become sales, shipping income and output tax, per rate."""
    lines = [_debit(accounts.PREPAYMENTS, sum(part.gross for part in parts))]
    for part in parts:
        lines += [
            _credit(accounts.SALES[part.rate], part.goods),
            _credit(accounts.SHIPPING_INCOME, part.shipping),
            _credit(accounts.OUTPUT_TAX[part.rate], part.tax),
        ]
    return Draft(
        source_type=SHIPMENT,
        source_id=shipment_id,
        purpose="recognition",
        description=f"出荷 {reference}",
        occurred_at=occurred_at,
        order_id=order_id,
        lines=_clean(lines),
    )


def suspense(change: Change, *, order_id: int | None, reference: str) -> Draft:
    """Post a change that we can not explain, so that 1150 stays true; a person explains it (9990)."""
    return _of_change(
        change,
        "suspense",
        f"仮勘定 {reference}",
        order_id,
        [
            _debit(accounts.STRIPE_BALANCE, change.amount),
            _credit(accounts.SUSPENSE, change.amount),
        ],
    )


def unknown_refund(change: Change, *, reference: str) -> Draft:
    """Post a refund that we know nothing about against prepayments, until a person binds it."""
    return _of_change(
        change,
        "refund",
        f"返金 {reference}",
        None,
        [
            _credit(accounts.PREPAYMENTS, change.amount),
            _debit(accounts.STRIPE_BALANCE, change.amount),
        ],
    )


def reversal(
    entry_id: str, *, occurred_at: datetime, order_id: int | None, description: str, lines: Sequence[Line]
) -> Draft:
    """Turn an entry's sides around: a correction is a reversal plus a new entry, never an edit."""
    return Draft(
        source_type=ENTRY,
        source_id=entry_id,
        purpose="reversal",
        description=f"反対仕訳 {description}"[:200],
        occurred_at=occurred_at,
        order_id=order_id,
        lines=tuple(Line(line.account, debit=line.credit, credit=line.debit) for line in lines),
    )
