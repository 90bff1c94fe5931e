"""Write to the journal; nothing else does. An entry is written once, balanced, into an open day."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from operator import attrgetter

from django.db import IntegrityError, transaction
from django.db.models import Max

from kikaku.days import business_day
from kikaku.transactions import require_transaction
from ledger.books import bulk, posting
from ledger.books.posting import Draft, Line
from ledger.books.tax_rules import TaxRules, load_tax_rules
from ledger.models import DailyClose, JournalEntry, JournalLine
from ledger.models.books import LineTaxClass

ENTRY_COLUMNS = (
    "day",
    "occurred_at",
    "source_type",
    "source_id",
    "purpose",
    "description",
    "order_id",
    "reverses_id",
    "created_at",
    "form",
    "amount",
    "counterparty",
    "fiscal_year",
)
entry_values = attrgetter(*ENTRY_COLUMNS)
LINE_COLUMNS = ("entry_id", "position", "account_id", "debit", "credit", "tax_class", "tax_rate", "tax")


class Unbalanced(Exception):
    """A draft with unequal sides, fewer than two lines, a line that is not one positive side, or odd tax."""


class ConflictingEntry(Exception):
    """The same source and purpose were posted before with different lines."""


def require_balanced(draft: Draft) -> None:
    """Raise `Unbalanced` unless two or more lines have one positive side each, and debit equals credit.

    The tax beside the lines must be what the lines of tax post.
    """
    debit = sum(line.debit for line in draft.lines)
    credit = sum(line.credit for line in draft.lines)
    one_sided = all(
        min(line.debit, line.credit) == 0 and max(line.debit, line.credit) > 0 for line in draft.lines
    )
    if debit != credit or len(draft.lines) < 2 or not one_sided:
        raise Unbalanced(
            f"{draft.source_type} {draft.source_id} {draft.purpose}: debit {debit}, credit {credit}, "
            f"{len(draft.lines)} lines."
        )
    beside = sum(line.tax_debit for line in draft.lines)
    posted = sum(line.amount for line in draft.lines if line.tax_class == LineTaxClass.TAX)
    if beside != posted and all(line.tax_class is not None for line in draft.lines):
        raise Unbalanced(
            f"{draft.source_type} {draft.source_id} {draft.purpose}: tax of {beside} beside the lines, "
            f"{posted} posted."
        )


def last_closed_day() -> date | None:
    """Return the latest closed day; every day up to it is closed."""
    last: date | None = DailyClose.objects.aggregate(last=Max("day"))["last"]
    return last


def first_open_day(day: date, *, last_closed: date | None) -> date:
    """Return `day` when it is open, or else the first open day after it."""
    return day if last_closed is None or day > last_closed else last_closed + timedelta(days=1)


def find_entry(draft: Draft) -> JournalEntry | None:
    """Return the entry of this source and purpose, or None. Raises `ConflictingEntry` when lines differ."""
    entry = JournalEntry.objects.filter(
        source_type=draft.source_type, source_id=draft.source_id, purpose=draft.purpose
    ).first()
    if entry is not None and lines_of(entry) != draft.lines:
        raise ConflictingEntry(
            f"{draft.source_type} {draft.source_id} {draft.purpose} is entry {entry.pk} with other lines."
        )
    return entry


def post(
    draft: Draft, *, now: datetime, reverses: JournalEntry | None = None, rules: TaxRules | None = None
) -> JournalEntry:
    """Write the draft inside the caller's transaction and return its entry.

    The day is the business day of `occurred_at`, or the first open day when that one is closed. Posting the
    same source and purpose again returns the existing entry.

    `rules` give its fiscal year, where the caller has read them. Raises `Unbalanced`, `TaxStatusMissing`, and
    `ConflictingEntry` when they were posted with different lines.
    """
    require_transaction()
    require_balanced(draft)
    try:
        return _write([draft], now=now, reverses=reverses, rules=rules)[0]
    except IntegrityError:
        posted = find_entry(draft)  # the unique key failed: posted before, or by a concurrent transaction
        if posted is None:
            raise
        return posted


def post_all(drafts: Sequence[Draft], *, now: datetime, rules: TaxRules | None = None) -> list[JournalEntry]:
    """Write drafts that are not posted yet, as `post` does, in a few statements for all of them.

    Raises `Unbalanced`, and IntegrityError when one of them was posted before; then nothing is written.
    """
    require_transaction()
    for draft in drafts:
        require_balanced(draft)
    return _write(drafts, now=now, rules=rules)


def _write(
    drafts: Sequence[Draft],
    *,
    now: datetime,
    reverses: JournalEntry | None = None,
    rules: TaxRules | None = None,
) -> list[JournalEntry]:
    rules = rules or load_tax_rules()
    last = rules.last_closed
    while True:
        try:
            return _insert(drafts, last_closed=last, now=now, reverses=reverses, rules=rules)
        except IntegrityError:
            closed = last_closed_day()
            if closed == last:
                raise
            last = closed  # PostgreSQL: a close was committed meanwhile, and its trigger refused the day


@transaction.atomic
def _insert(
    drafts: Sequence[Draft],
    *,
    last_closed: date | None,
    now: datetime,
    reverses: JournalEntry | None,
    rules: TaxRules,
) -> list[JournalEntry]:
    days = [first_open_day(business_day(draft.occurred_at), last_closed=last_closed) for draft in drafts]
    fiscal_years = {day: rules.fiscal_year(day) for day in set(days)}
    entries = [
        JournalEntry(
            day=day,
            occurred_at=draft.occurred_at,
            source_type=draft.source_type,
            source_id=draft.source_id,
            purpose=draft.purpose,
            description=draft.description[:200],
            order_id=draft.order_id,
            reverses=reverses,
            created_at=now,
            form=JournalEntry.FORM,
            amount=draft.amount,
            counterparty=draft.counterparty[:120],
            fiscal_year=fiscal_years[day],
        )
        for draft, day in zip(drafts, days, strict=True)
    ]
    keys = bulk.insert_returning_ids(JournalEntry, ENTRY_COLUMNS, [entry_values(entry) for entry in entries])
    for entry, key in zip(entries, keys, strict=True):
        entry.pk = key
        entry._state.adding = False
    bulk.insert(
        JournalLine,
        LINE_COLUMNS,
        [
            (key, position, line.account, line.debit, line.credit, line.tax_class, line.tax_rate, line.tax)
            for key, draft in zip(keys, drafts, strict=True)
            for position, line in enumerate(draft.lines, start=1)
        ],
    )
    return entries


def reverse(entry: JournalEntry, *, occurred_at: datetime, now: datetime) -> JournalEntry:
    """Post the reversal of `entry`, linked to it, and return it. A second call returns the same reversal."""
    require_transaction()
    draft = posting.reversal(entry, lines_of(entry), occurred_at=occurred_at)
    return post(draft, now=now, reverses=entry)


def lines_of(entry: JournalEntry) -> tuple[Line, ...]:
    """Return the lines of an entry in their order."""
    return tuple(
        Line(*values)
        for values in JournalLine.objects.filter(entry=entry)
        .order_by("position")
        .values_list("account_id", "debit", "credit", "tax_class", "tax_rate", "tax")
    )
