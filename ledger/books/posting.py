"""Drafts of journal entries for each kind of source: pure functions of accounts, sides and tax classes.

`ledger.books.recognition`, `balance_postings` and `refunds_payable` read the amounts from the rows, and
`ledger.books.journal` writes the draft. Lines of ¥0 are omitted. The tax that a refund reverses is the
tax on everything refunded so far less what earlier refunds reversed, so that a full refund reverses exactly
the tax that was posted (`ledger.books.tax_buckets`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from kikaku.money import REDUCED, STANDARD
from ledger.books import accounts
from ledger.books.tax_buckets import RecognisedSale, ReturnedSale
from ledger.models import JournalEntry, Order
from ledger.models.books import LineTaxClass

# values of `JournalEntry.source_type`
BALANCE_TRANSACTION_SOURCE = "balance_transaction"
SHIPMENT_SOURCE = "shipment"
REFUND_SOURCE = "refund"
ENTRY_SOURCE = "entry"
KEPT_MONEY_SOURCE = "kept_money"

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
KEPT_PURPOSE = "kept"

# the purposes of `unpaid_refund`, each with its description; a refund has one of them at most
UNPAID_REFUND_PURPOSES = {WAITING_PURPOSE: "返金待ち", FAILED_PURPOSE: "返金未了"}


STRIPE = "Stripe"  # the counterparty of fees, and of money that we know no order of

SALE_CLASSES = {STANDARD: LineTaxClass.SALE_STANDARD, REDUCED: LineTaxClass.SALE_REDUCED}
RETURN_CLASSES = {STANDARD: LineTaxClass.RETURN_STANDARD, REDUCED: LineTaxClass.RETURN_REDUCED}


@dataclass(frozen=True)
class Line:
    """One line of an entry: an account with exactly one positive side (JPY), and what it is for the tax.

    `tax` is contained in no side: it lies beside the net amount, and a line of the class `TAX` posts it.
    """

    account: str
    debit: int = 0
    credit: int = 0
    tax_class: str | None = LineTaxClass.OUTSIDE  # None: in an entry of form 1
    tax_rate: int | None = None  # percent
    tax: int | None = 0  # on the side of the line; negative on the other one; None: in an entry of form 1

    @property
    def amount(self) -> int:
        """Debit − credit."""
        return self.debit - self.credit

    @property
    def tax_debit(self) -> int:
        """The tax that this line asks other lines to post, as debit − credit."""
        tax = self.tax or 0
        return tax if self.debit else -tax


@dataclass(frozen=True)
class Subject:
    """What an entry is about: an order and its customer, or an object at Stripe."""

    reference: str  # the order's number, or the id at Stripe
    order_id: int | None = None
    counterparty: str = STRIPE  # the name of the customer, as of the order

    @classmethod
    def of(cls, order: Order) -> "Subject":
        """Return the subject of an order's entry."""
        return cls(order.number, order.pk, order.name)


@dataclass(frozen=True)
class Draft:
    """An entry that is not written yet. (source_type, source_id, purpose) identifies it for ever."""

    source_type: str
    source_id: str
    purpose: str
    description: str
    occurred_at: datetime
    order_id: int | None
    counterparty: str
    amount: int  # what changed hands (取引金額), JPY
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class BalanceChange:
    """A change of one of Stripe's balances: one balance transaction. JPY, signed as Stripe signs."""

    id: str  # txn_…
    amount: int  # gross: positive when it adds to the balance
    # the fee in three parts: the net is amount − their sum
    fee_exempt: int
    fee_taxable: int  # without its tax
    fee_tax: int
    occurred_at: datetime
    account: str = accounts.STRIPE_BALANCE  # of the balance that changed
    fee_rate: int | None = None  # percent of the tax on fees; None: the merchant is exempt

    @property
    def fee(self) -> int:
        """The whole fee."""
        return self.fee_exempt + self.fee_taxable + self.fee_tax


@dataclass(frozen=True)
class RefundPart:
    """The share of a refund that comes from one tax bucket, or from none; gross JPY."""

    tax_class: str  # empty: from no bucket (an excess payment, or owed since a refund failed)
    prepaid: int = 0  # out of 2130
    returned: tuple[ReturnedSale, ...] = ()  # out of sales
    payable: int = 0  # out of 2120

    @property
    def recognised(self) -> int:
        """The amount out of sales, including tax."""
        return sum(sale.gross for sale in self.returned)


def _debit(
    account: str,
    amount: int,
    tax_class: str = LineTaxClass.OUTSIDE,
    tax_rate: int | None = None,
    tax: int = 0,
) -> Line:
    """Return a line with the amount, and the tax beside it, on the debit side; negative ones are credits."""
    if amount >= 0:
        return Line(account, debit=amount, tax_class=tax_class, tax_rate=tax_rate, tax=tax)
    return Line(account, credit=-amount, tax_class=tax_class, tax_rate=tax_rate, tax=-tax)


def _credit(
    account: str,
    amount: int,
    tax_class: str = LineTaxClass.OUTSIDE,
    tax_rate: int | None = None,
    tax: int = 0,
) -> Line:
    return _debit(account, -amount, tax_class, tax_rate, -tax)


def _with_tax(lines: Sequence[Line], account: str, tax: int, rate: int | None) -> list[Line]:
    """Return lines and the one that posts their tax, debit positive.

    It carries itself what no line beside it can: a yen of tax on a net amount of ¥0, which is no line.
    """
    beside = sum(line.tax_debit for line in lines if line.amount)
    return [*lines, _debit(account, tax, LineTaxClass.TAX, rate, tax - beside)]


def _without_zeros(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Leave out the lines of ¥0, and put the debit side first."""
    return tuple(sorted((line for line in lines if line.amount), key=lambda line: line.credit > 0))


def _balance_change_draft(
    change: BalanceChange, purpose: str, description: str, subject: Subject, lines: Sequence[Line]
) -> Draft:
    """Draft a change of a balance: one line with its net, the fee in its parts, and the other side."""
    taxable = LineTaxClass.OUTSIDE if change.fee_rate is None else LineTaxClass.PURCHASE
    net, tax = change.fee_taxable, change.fee_tax
    if change.fee_rate is None:  # an exempt merchant has no input tax: the fee is an expense with its tax
        net, tax = net + tax, 0
    fee = _with_tax(
        [_debit(accounts.FEES_TAXABLE, net, taxable, change.fee_rate, tax)],
        accounts.INPUT_TAX,
        tax,
        change.fee_rate,
    )
    exempt = _debit(accounts.FEES_EXEMPT, change.fee_exempt, LineTaxClass.EXEMPT_PURCHASE)
    return Draft(
        source_type=BALANCE_TRANSACTION_SOURCE,
        source_id=change.id,
        purpose=purpose,
        description=f"{description} {subject.reference}",
        occurred_at=change.occurred_at,
        order_id=subject.order_id,
        counterparty=subject.counterparty,
        amount=abs(change.amount or change.fee),
        lines=_without_zeros([_debit(change.account, change.amount - change.fee), exempt, *fee, *lines]),
    )


def capture(change: BalanceChange, subject: Subject) -> Draft:
    """Draft a captured payment: the gross amount is the customer's prepayment (2130), the fee our expense.

    Posted net, so that the entry's amount is the transaction's and 1150 ties to Stripe line by line.
    """
    return _balance_change_draft(
        change, CAPTURE_PURPOSE, "入金", subject, [_credit(accounts.PREPAYMENTS, change.amount)]
    )


def _refund_debits(parts: Sequence[RefundPart]) -> list[Line]:
    """Return the debit side of a refund: prepayments without tax, sales with the tax reversed."""
    lines = [
        _debit(accounts.REFUNDS_PAYABLE, sum(part.payable for part in parts)),
        _debit(accounts.PREPAYMENTS, sum(part.prepaid for part in parts)),
    ]
    for part in parts:
        for sale in part.returned:
            lines += _return_lines(sale.tax_class, sale.rate, sale.gross, sale.tax, is_taxed=sale.is_taxed)
    return lines


def _return_lines(
    tax_class: str, rate: int | None, gross: int, tax: int, *, is_taxed: bool = True
) -> list[Line]:
    """Return the lines that take a gross amount, and the tax in it, out of the sales of a rate."""
    kind = RETURN_CLASSES[tax_class] if is_taxed and rate is not None else LineTaxClass.OUTSIDE
    returned = _debit(accounts.RETURNS_ACCOUNTS[tax_class], gross - tax, kind, rate, tax)
    return _with_tax([returned], accounts.OUTPUT_TAX_ACCOUNTS[tax_class], tax, rate)


def refund(change: BalanceChange, subject: Subject, parts: Sequence[RefundPart]) -> Draft:
    """Draft a refund that left Stripe's balance. Stripe keeps the payment's fee: it has no line."""
    return _balance_change_draft(change, REFUND_PURPOSE, "返金", subject, _refund_debits(parts))


def refund_failure(change: BalanceChange, subject: Subject) -> Draft:
    """Draft the return of a failed refund's money: it is still owed to the customer (2120)."""
    owed = _credit(accounts.REFUNDS_PAYABLE, change.amount)
    return _balance_change_draft(change, REFUND_FAILURE_PURPOSE, "返金失敗", subject, [owed])


def _draft(
    source_type: str,
    source_id: str,
    purpose: str,
    description: str,
    *,
    occurred_at: datetime,
    subject: Subject,
    lines: Iterable[Line],
) -> Draft:
    """Draft an entry of one of our own documents; its amount is one of its sides."""
    kept = _without_zeros(lines)
    return Draft(
        source_type=source_type,
        source_id=source_id,
        purpose=purpose,
        description=f"{description} {subject.reference}",
        occurred_at=occurred_at,
        order_id=subject.order_id,
        counterparty=subject.counterparty,
        amount=sum(line.debit for line in kept),
        lines=kept,
    )


def unpaid_refund(
    refund_id: str, purpose: str, *, occurred_at: datetime, subject: Subject, parts: Sequence[RefundPart]
) -> Draft:
    """Draft a refund that waits or failed before its money moved: it is owed to the customer (2120)."""
    debits = _refund_debits([replace(part, payable=0) for part in parts])  # what was owed before stays owed
    owed = sum(part.prepaid + part.recognised for part in parts)
    return _draft(
        REFUND_SOURCE,
        refund_id,
        purpose,
        UNPAID_REFUND_PURPOSES[purpose],
        occurred_at=occurred_at,
        subject=subject,
        lines=[*debits, _credit(accounts.REFUNDS_PAYABLE, owed)],
    )


def settlement(refund_id: str, *, amount: int, occurred_at: datetime, subject: Subject) -> Draft:
    """Draft the transfer from 2120 to 2130 of what a failed refund left owed and another refund has paid.

    The other refund took the money out of 2130.
    """
    return _draft(
        REFUND_SOURCE,
        refund_id,
        SETTLEMENT_PURPOSE,
        "未払金（返金）の充当",
        occurred_at=occurred_at,
        subject=subject,
        lines=[_debit(accounts.REFUNDS_PAYABLE, amount), _credit(accounts.PREPAYMENTS, amount)],
    )


def kept_money(kept_id: str, *, prepaid: int, payable: int, occurred_at: datetime, subject: Subject) -> Draft:
    """Draft the transfer of money that stays with us although no goods follow: other income, outside the tax.

    国税庁 No.6253: a cancellation fee is damages, no consideration. Negative amounts are taken back.
    """
    return _draft(
        KEPT_MONEY_SOURCE,
        kept_id,
        KEPT_PURPOSE,
        "雑収入へ振替" if prepaid + payable > 0 else "雑収入振替の取消",
        occurred_at=occurred_at,
        subject=subject,
        lines=[
            _debit(accounts.PREPAYMENTS, prepaid),
            _debit(accounts.REFUNDS_PAYABLE, payable),
            _credit(accounts.OTHER_INCOME, prepaid + payable),
        ],
    )


def tax_correction(
    refund_id: str,
    *,
    occurred_at: datetime,
    subject: Subject,
    differences: Iterable[tuple[str, int | None, int]],
) -> Draft:
    """Draft what the tax of an order's other refunds changes by when this one is withdrawn.

    `differences` are JPY by tax class and rate.
    """
    lines: list[Line] = []
    for tax_class, rate, difference in differences:
        lines += _return_lines(tax_class, rate, 0, difference)
    return _draft(
        REFUND_SOURCE,
        refund_id,
        TAX_CORRECTION_PURPOSE,
        "返金取消に伴う税額調整",
        occurred_at=occurred_at,
        subject=subject,
        lines=lines,
    )


def shipment(
    shipment_id: str,
    *,
    occurred_at: datetime,
    subject: Subject,
    sales: Sequence[RecognisedSale],
    withdrawn_refund: str = "",
) -> Draft:
    """Draft a shipment: prepayments become sales, shipping income and output tax, per tax class.

    With `withdrawn_refund` it is what the parcel lacked because that refund had reserved it.
    """
    lines = [_debit(accounts.PREPAYMENTS, sum(sale.gross for sale in sales))]
    for sale in sales:
        kind = LineTaxClass.OUTSIDE if sale.rate is None else SALE_CLASSES[sale.tax_class]
        goods_tax = sale.tax - sale.shipping_tax
        sold = [
            _credit(accounts.SALES_ACCOUNTS[sale.tax_class], sale.goods, kind, sale.rate, goods_tax),
            _credit(accounts.SHIPPING_INCOME, sale.shipping, kind, sale.rate, sale.shipping_tax),
        ]
        lines += _with_tax(sold, accounts.OUTPUT_TAX_ACCOUNTS[sale.tax_class], -sale.tax, sale.rate)
    purpose, description = RECOGNITION_PURPOSE, "出荷"
    if withdrawn_refund:
        purpose, description = f"{RECOGNITION_PURPOSE} {withdrawn_refund}", "出荷（返金取消分）"
    return _draft(
        SHIPMENT_SOURCE,
        shipment_id,
        purpose,
        description,
        occurred_at=occurred_at,
        subject=subject,
        lines=lines,
    )


def suspense(change: BalanceChange, subject: Subject) -> Draft:
    """Draft an unexplained change against 9990, so that 1150 stays correct; a person explains it later."""
    return _balance_change_draft(
        change, SUSPENSE_PURPOSE, "仮勘定", subject, [_credit(accounts.SUSPENSE, change.amount)]
    )


def unknown_refund(change: BalanceChange, subject: Subject) -> Draft:
    """Draft a refund without a row of ours against prepayments (2130), until a person assigns it."""
    return _balance_change_draft(
        change, REFUND_PURPOSE, "返金", subject, [_credit(accounts.PREPAYMENTS, change.amount)]
    )


def reversal(entry: JournalEntry, lines: Sequence[Line], *, occurred_at: datetime) -> Draft:
    """Draft an entry with the sides exchanged: a correction is a reversal plus a new entry, never an edit."""
    return Draft(
        source_type=ENTRY_SOURCE,
        source_id=str(entry.pk),
        purpose=REVERSAL_PURPOSE,
        description=f"反対仕訳 {entry.description}"[:200],
        occurred_at=occurred_at,
        order_id=entry.order_id,
        counterparty=entry.counterparty or STRIPE,
        amount=sum(line.debit for line in lines) if entry.amount is None else entry.amount,
        lines=tuple(replace(line, debit=line.credit, credit=line.debit) for line in lines),
    )
