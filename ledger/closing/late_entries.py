"""期ズレ一覧: what the books lack at the end of a period, since it was entered when those days were closed.

A fact that becomes known late is posted on the first open day. Its entry is in the list of every period that
ends between the day of the fact and the day of the entry, with the closing entry of the accountant: the same
lines on the last day of the period, and reversed on the day after it. The sum of a list is what the balances
lack at the end of that period.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import chain

from django.db.models import F

from kikaku.days import business_day, day_bounds
from ledger.books import accounts, gross_sheet, posting
from ledger.books.periods import Period
from ledger.books.tax_rules import TaxRules
from ledger.models import Account, JournalEntry, JournalLine

# The list is a paper for the accountant: its words are Japanese whatever the language is.
TITLE = "期ズレ一覧"
OTHERS = "その他"
KINDS: Mapping[tuple[str, str], str] = {  # by source and purpose
    (posting.SHIPMENT_SOURCE, posting.RECOGNITION_PURPOSE): "出荷",
    (posting.BALANCE_TRANSACTION_SOURCE, posting.CAPTURE_PURPOSE): "入金・手数料",
    (posting.BALANCE_TRANSACTION_SOURCE, posting.REFUND_PURPOSE): "返金",
    (posting.BALANCE_TRANSACTION_SOURCE, posting.REFUND_FAILURE_PURPOSE): "返金の失敗",
    (posting.BALANCE_TRANSACTION_SOURCE, posting.SUSPENSE_PURPOSE): "仮勘定",
    (posting.REFUND_SOURCE, posting.WAITING_PURPOSE): "未払金（返金）",
    (posting.REFUND_SOURCE, posting.FAILED_PURPOSE): "未払金（返金）",
    (posting.KEPT_MONEY_SOURCE, posting.KEPT_PURPOSE): "雑収入への振替",
    (posting.ENTRY_SOURCE, posting.REVERSAL_PURPOSE): "反対仕訳",
}


@dataclass(frozen=True)
class AccountLine:
    """One account's side of a proposed entry, or of its sum (JPY)."""

    code: str
    name: str
    debit: int = 0
    credit: int = 0

    def reversed(self) -> "AccountLine":
        """Return the line with its sides exchanged."""
        return AccountLine(self.code, self.name, debit=self.credit, credit=self.debit)


@dataclass(frozen=True)
class ProposedEntry:
    """A closing entry to copy: debits first, on the last day of a period or, reversed, on the next one."""

    day: date
    description: str
    lines: tuple[AccountLine, ...]

    @property
    def total(self) -> int:
        """The sum of the debits, and of the credits."""
        return sum(line.debit for line in self.lines)

    def reversed(self) -> "ProposedEntry":
        """Return the entry that takes it back on the first day of the next period."""
        lines = sorted((line.reversed() for line in self.lines), key=lambda line: line.credit > 0)
        return ProposedEntry(self.day + timedelta(days=1), f"{self.description} 反対仕訳", tuple(lines))

    def __str__(self) -> str:
        debits = "、".join(f"{line.code} {line.name} {line.debit:,}" for line in self.lines if line.debit)
        credits_ = "、".join(f"{line.code} {line.name} {line.credit:,}" for line in self.lines if line.credit)
        return f"{self.day} {debits} / {credits_}"


@dataclass(frozen=True)
class LateEntry:
    """An entry that was posted after the period in which its fact happened."""

    entry_id: int
    occurred_on: date  # JST
    day: date
    voucher: str
    order_number: str  # empty: of no order
    kind: str
    counterparty: str
    amount: int  # JPY
    tax: int  # that it posts, JPY
    proposal: ProposedEntry


@dataclass(frozen=True)
class LateKind:
    """The late entries of a kind, with one closing entry for all of them."""

    name: str
    entries: tuple[LateEntry, ...]
    proposal: ProposedEntry

    @property
    def amount(self) -> int:
        """The sum of the amounts."""
        return sum(entry.amount for entry in self.entries)

    @property
    def tax(self) -> int:
        """The sum of the taxes."""
        return sum(entry.tax for entry in self.entries)


@dataclass(frozen=True)
class LateEntries:
    """The list at the end of a period."""

    kinds: tuple[LateKind, ...]
    lacking: ProposedEntry  # what the balance of each account lacks at the end of the period
    is_gross: bool  # the entries have the tax in the accounts that it belongs to (税込経理)


def read(period: Period, rules: TaxRules) -> LateEntries:
    """Return the entries that the end of a period lacks. Three queries. Raises `TaxStatusMissing`.

    There are none as long as the last day is open: it takes its entries itself. The closing entries are as
    the merchant keeps its books on the last day: with tax included under 税込経理, like the trial balance.
    """
    is_gross = gross_sheet.is_gross(rules.status_on(period.last))
    late = JournalEntry.objects.filter(occurred_at__lt=day_bounds(period.last)[1], day__gt=period.last)
    names = dict(Account.objects.values_list("code", "name_ja"))
    taxes: Counter[int] = Counter()  # by entry
    lines: defaultdict[int, list[AccountLine]] = defaultdict(list)
    of_late = JournalLine.objects.filter(entry__in=late)
    fields = ("entry_id", "account_id", "debit", "credit", "tax_class", "tax")
    for entry_id, code, debit, credit, tax_class, tax in of_late.values_list(*fields):
        net = debit - credit
        if code in accounts.TAX_ACCOUNTS:
            taxes[entry_id] += net
        if is_gross:
            code, net = gross_sheet.including_tax(code, net, tax_class, tax)
        lines[entry_id].append(AccountLine(code, names[code], debit=max(net, 0), credit=max(-net, 0)))
    entries: defaultdict[str, list[LateEntry]] = defaultdict(list)
    for entry in late.annotate(number=F("order__number")).order_by("occurred_at", "pk"):
        made = _late_entry(
            entry, entry.number or "", _by_account(lines[entry.pk]), abs(taxes[entry.pk]), period.last
        )
        entries[made.kind].append(made)
    return LateEntries(
        kinds=tuple(
            LateKind(
                kind,
                tuple(entries[kind]),
                _together(entries[kind], period.last, f"{TITLE} {kind} {len(entries[kind])}件"),
            )
            for kind in dict.fromkeys([*KINDS.values(), OTHERS])
            if kind in entries
        ),
        lacking=_together(chain.from_iterable(entries.values()), period.last, TITLE),
        is_gross=is_gross,
    )


def _late_entry(
    entry: JournalEntry, number: str, lines: tuple[AccountLine, ...], tax: int, last: date
) -> LateEntry:
    purpose = entry.purpose.partition(" ")[0]  # a parcel's may go on with the refund that was withdrawn
    return LateEntry(
        entry_id=entry.pk,
        occurred_on=business_day(entry.occurred_at),
        day=entry.day,
        voucher=entry.voucher,
        order_number=number,
        kind=KINDS.get((entry.source_type, purpose), OTHERS),
        counterparty=entry.counterparty or "",
        amount=sum(line.debit for line in lines) if entry.amount is None else entry.amount,
        tax=tax,
        proposal=ProposedEntry(last, f"{entry.description}（伝票 {entry.voucher}）", lines),
    )


def _together(entries: Iterable[LateEntry], last: date, description: str) -> ProposedEntry:
    lines = _by_account(line for entry in entries for line in entry.proposal.lines)
    return ProposedEntry(last, description, lines)


def _by_account(lines: Iterable[AccountLine]) -> tuple[AccountLine, ...]:
    """Return the net of each account that has one, debits first."""
    net: Counter[str] = Counter()
    names: dict[str, str] = {}
    for line in lines:
        net[line.code] += line.debit - line.credit
        names[line.code] = line.name
    return tuple(
        AccountLine(code, names[code], debit=max(amount, 0), credit=max(-amount, 0))
        for code, amount in sorted(net.items(), key=lambda item: (item[1] < 0, item[0]))
        if amount
    )
