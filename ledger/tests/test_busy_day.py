"""The cost of closing a busy day: it grows with batches, not with payments, nor with the days before."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from kikaku.sandbox import Sandbox
from ledger.books import accounts, trial_balance
from ledger.books.trial_balance import net_balance
from ledger.closing import checks, verification
from ledger.closing.daily_close import CloseResult, close_day
from ledger.ingest import balance
from ledger.models import BalanceTransaction, ClosingBalance, DailyClose, JournalEntry
from ledger.testing.busy_day import fill
from ledger.testing.closing import MONDAY, TUESDAY
from ledger.testing.tampering import tamper

pytestmark = pytest.mark.django_db


def close_and_count(sandbox: Sandbox, payments: int, days_later: int) -> tuple[CloseResult, int]:
    """Close a day of that many unposted payments; return the result and the number of statements."""
    day = MONDAY + timedelta(days=days_later)
    now = fill(sandbox, day, payments=payments)
    with CaptureQueriesContext(connection) as queries:
        result = close_day(day, now=now)
    if connection.vendor == "postgresql" and payments >= 1_000:  # or portions of the day would read all of it
        assert any("ANALYZE" in query["sql"] for query in queries)
    return result, len(queries)


def test_the_statements_of_a_close_grow_with_its_batches_not_with_its_payments(sandbox: Sandbox) -> None:
    sandbox.observer = None  # it would validate a thousand charges; other tests do so
    (small, few), (large, many) = close_and_count(sandbox, 200, 0), close_and_count(sandbox, 1_000, 1)
    assert (small.differences, large.differences) == (0, 0)
    assert large.report["stripe"]["types"][0]["count"] == 1_000
    assert many - few < 0.25 * 800, f"{few} queries for 200 payments, {many} for 1,000"
    assert JournalEntry.objects.filter(source_type="balance_transaction").count() == (
        BalanceTransaction.objects.count()
    )
    assert list(verification.verify()) == []  # the carried balances match the lines


def test_transactions_posted_before_the_close_are_not_posted_again(sandbox: Sandbox) -> None:
    sandbox.observer = None
    now = fill(sandbox, MONDAY, payments=300)
    balance.fetch(created_from=now - timedelta(days=2), created_until=now, now=now)
    entries = JournalEntry.objects.count()
    result = close_day(MONDAY, now=now)
    assert (result.differences, JournalEntry.objects.count()) == (0, entries)


def test_the_closing_balances_match_the_report_of_the_day(sandbox: Sandbox) -> None:
    result, _queries = close_and_count(sandbox, 20, 0)
    carried = {row.account_id: row.debit - row.credit for row in ClosingBalance.objects.all()}
    assert carried == {row["account"]: row["closing"] for row in result.report["trial_balance"]}
    assert trial_balance.account_balances(MONDAY) == trial_balance.recompute_account_balances(MONDAY)
    assert result.report["sub_ledgers"]["2130"]["orders"] == count_open_orders()


def count_open_orders() -> int:
    """Return the number of orders with a balance in 2130, close_and_count_queries one by one."""
    orders = {entry.order for entry in JournalEntry.objects.exclude(order=None).select_related("order")}
    return sum(1 for order in orders if net_balance(accounts.PREPAYMENTS, order=order))


def test_the_lines_of_a_closed_day_are_not_read_again(sandbox: Sandbox) -> None:
    close_and_count(sandbox, 20, 0)
    before = trial_balance.account_balances(MONDAY)
    tamper(
        "DELETE FROM ledger_journalline "
        f"WHERE entry_id IN (SELECT id FROM ledger_journalentry WHERE day = '{MONDAY}')"
    )
    assert trial_balance.account_balances(MONDAY) == before  # `verify_books` reports the deletion
    assert net_balance(accounts.STRIPE_BALANCE) == before[accounts.STRIPE_BALANCE].net
    assert [
        finding.check for finding in checks.entries.trial_balance(trial_balance.account_balances(MONDAY))
    ] == []


def test_books_without_closing_balances_are_added_up_from_the_beginning(sandbox: Sandbox) -> None:
    close_and_count(sandbox, 20, 0)
    before = trial_balance.account_balances(MONDAY)
    tamper("DELETE FROM ledger_closingbalance")
    assert trial_balance.account_balances(MONDAY) == before
    result, _queries = close_and_count(sandbox, 20, 1)
    assert result.differences == 0
    assert DailyClose.objects.count() == 2
    assert trial_balance.account_balances(TUESDAY) == trial_balance.recompute_account_balances(TUESDAY)
