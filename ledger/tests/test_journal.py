"""Writing entries: once, balanced, into an open day, and never changed."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from django.db import transaction

from ledger.books import journal
from ledger.books.journal import ConflictingEntry, Unbalanced
from ledger.books.posting import Draft, Line
from ledger.books.trial_balance import net_balance
from ledger.models import DailyClose, JournalEntry
from ledger.testing import company

pytestmark = pytest.mark.django_db(transaction=False)  # the test itself is the transaction

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)


def draft(*lines: Line, source: str = "txn_1", occurred_at: datetime = NOW) -> Draft:
    """Return a draft; without lines, of ¥100 from 2130 to 1150."""
    return Draft(
        source_type="balance_transaction",
        source_id=source,
        purpose="capture",
        description="入金",
        occurred_at=occurred_at,
        order_id=None,
        counterparty="Stripe",
        amount=100,
        lines=lines or (Line("1150", debit=100), Line("2130", credit=100)),
    )


def close(day: date) -> None:
    """Close a day like the daily close."""
    DailyClose.objects.create(
        day=day,
        run=1,
        stripe_balance=0,
        book_balance=0,
        differences=0,
        manifest_sha256="0" * 64,
        closed_at=NOW,
    )


def test_an_entry_has_the_business_day_of_its_fact() -> None:
    entry = journal.post(draft(occurred_at=datetime(2026, 11, 20, 15, 0, tzinfo=UTC)), now=NOW)
    assert entry.day == date(2026, 11, 21)
    assert journal.lines_of(entry) == (Line("1150", debit=100), Line("2130", credit=100))


def test_posting_the_same_fact_again_returns_the_existing_entry() -> None:
    first = journal.post(draft(), now=NOW)
    assert journal.post(draft(), now=NOW) == first
    assert JournalEntry.objects.count() == 1


def test_the_same_fact_with_other_lines_is_refused() -> None:
    journal.post(draft(), now=NOW)
    with pytest.raises(ConflictingEntry, match="txn_1"):
        journal.post(draft(Line("1150", debit=99), Line("2130", credit=99)), now=NOW)


@pytest.mark.parametrize(
    "lines",
    [
        (Line("1150", debit=100), Line("2130", credit=99)),
        (Line("1150", debit=100, credit=100), Line("2130", debit=1), Line("2130", credit=1)),
        (Line("1150", debit=0), Line("2130", credit=0)),
        (Line("1150", debit=-5), Line("2130", credit=-5)),
        (Line("1150"),),
    ],
)
def test_an_unbalanced_draft_is_refused_and_nothing_is_written(lines: tuple[Line, ...]) -> None:
    with pytest.raises(Unbalanced):
        journal.post(draft(*lines), now=NOW)
    assert not JournalEntry.objects.exists()


def test_a_late_fact_is_posted_to_the_first_open_day_with_its_own_time() -> None:
    close(date(2026, 11, 20))
    close(date(2026, 11, 21))
    entry = journal.post(draft(), now=NOW)
    assert (entry.day, entry.occurred_at) == (date(2026, 11, 22), NOW)
    open_one = date(2026, 11, 25)
    assert journal.first_open_day(open_one, last_closed=journal.last_closed_day()) == open_one


def test_vouchers_rise_within_the_fiscal_year_of_their_day_and_keep_their_number() -> None:
    march, april = (datetime(2026, month, day, 3, tzinfo=UTC) for month, day in ((3, 31), (4, 1)))
    first, new, late = (
        journal.post(draft(source=source, occurred_at=at), now=NOW)
        for source, at in (("txn_1", march), ("txn_2", april), ("txn_3", march))
    )
    assert first.pk < new.pk < late.pk
    numbers = [f"2025-{first.pk}", f"2026-{new.pk}", f"2025-{late.pk}"]
    assert [entry.voucher for entry in (first, new, late)] == numbers
    company.enter(from_day=date(2026, 11, 1), fiscal_year_end=12)
    assert [entry.voucher for entry in JournalEntry.objects.order_by("pk")] == numbers


def test_a_reversal_is_linked_and_written_once() -> None:
    entry = journal.post(draft(), now=NOW)
    undone = journal.reverse(entry, occurred_at=NOW, now=NOW)
    assert undone.reverses == entry
    assert journal.reverse(entry, occurred_at=NOW, now=NOW) == undone
    assert net_balance("1150") == net_balance("2130") == 0


def test_a_balance_can_be_limited_to_a_day() -> None:
    journal.post(draft(), now=NOW)
    journal.post(draft(source="txn_2", occurred_at=datetime(2026, 11, 21, 3, 0, tzinfo=UTC)), now=NOW)
    assert net_balance("1150") == 200
    assert net_balance("1150", until=date(2026, 11, 20)) == 100
    assert net_balance("2130", until=date(2026, 11, 19)) == 0


@pytest.mark.django_db(transaction=True)
def test_posting_outside_of_a_transaction_is_refused() -> None:
    with pytest.raises(RuntimeError, match="transaction"):
        journal.post(draft(), now=NOW)


def test_an_unknown_account_writes_nothing() -> None:
    from django.db import IntegrityError, connection

    with pytest.raises(IntegrityError), transaction.atomic():
        journal.post(draft(Line("0000", debit=1), Line("1150", credit=1)), now=NOW)
        connection.check_constraints()
    assert not JournalEntry.objects.exists()


def test_another_purpose_is_another_entry() -> None:
    journal.post(draft(), now=NOW)
    journal.post(replace(draft(), purpose="other"), now=NOW)
    assert JournalEntry.objects.count() == 2
