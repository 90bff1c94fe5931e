"""Fetching Stripe's balance transactions: each is stored and posted once, whatever its type."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from pytest_django import DjangoAssertNumQueries, Settings

from kikaku.sandbox import Sandbox
from ledger.books import accounts, balance_postings, journal
from ledger.books.trial_balance import net_balance
from ledger.ingest import balance
from ledger.ingest.readings import TransactionReading
from ledger.models import BalanceTransaction, Discrepancy, JournalEntry, Refund
from ledger.testing import build

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 16, 3, 0, tzinfo=UTC)


def reading(number: int = 1, **changes: object) -> TransactionReading:
    """Return a charge of ¥100 without a payment of ours."""
    fields: dict[str, object] = {
        "id": f"txn_{number}",
        "type": "charge",
        "source": f"ch_{number}",
        "amount": 100,
        "fee": 4,
        "fee_tax": 0,
        "fee_taxed": False,
        "taxable_fee": 0,
        "net": 96,
        "currency": "jpy",
        "created": NOW,
        "available_on": NOW,
        "description": "",
    }
    return TransactionReading(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_payment_is_posted_with_its_fee_and_its_order(sandbox: Sandbox) -> None:
    sandbox.clock = NOW.timestamp
    order = build.paid_order(sandbox, placed=build.worked_order(now=NOW), now=NOW)
    result = balance.fetch_new(now=NOW)
    assert (result.seen, result.posted, result.waiting) == (1, 1, [])
    stored = BalanceTransaction.objects.get()
    assert (stored.amount, stored.fee, stored.fee_tax, stored.net) == (12_130, 437, 0, 11_693)
    entry = JournalEntry.objects.get()
    assert (entry.order, entry.source_id, entry.day) == (order, stored.id, NOW.date())
    assert net_balance(accounts.PREPAYMENTS, order=order) == -12_130


def test_the_fee_of_a_jcb_card_is_split(sandbox: Sandbox) -> None:
    sandbox.clock = NOW.timestamp
    build.paid_order(sandbox, placed=build.worked_order(now=NOW), card="3566002020360505", now=NOW)
    balance.fetch_new(now=NOW)
    assert BalanceTransaction.objects.get().fee_tax == 44
    assert net_balance(accounts.FEES_TAXABLE) == 437
    assert net_balance(accounts.INPUT_TAX) == 44
    assert net_balance(accounts.STRIPE_BALANCE) == 12_130 - 481


@pytest.mark.parametrize(
    ("card", "taxable", "exempt"), [("3566002020360505", 2, 0), ("4242424242424242", 0, 2)]
)
def test_a_fee_with_a_tax_of_zero_yen_is_a_taxable_one(
    sandbox: Sandbox, card: str, taxable: int, exempt: int
) -> None:
    sandbox.clock = NOW.timestamp
    order = build.order([build.line(price=50)], shipping_fee=0, now=NOW)
    build.paid_order(sandbox, placed=order, card=card, now=NOW)
    balance.fetch_new(now=NOW)
    stored = BalanceTransaction.objects.get()
    assert (stored.fee, stored.fee_tax, stored.fee_taxed) == (2, 0, bool(taxable))
    assert (net_balance(accounts.FEES_TAXABLE), net_balance(accounts.FEES_EXEMPT)) == (taxable, exempt)
    assert net_balance(accounts.INPUT_TAX) == 0


def test_the_fee_of_a_row_older_than_the_column_is_taxed_by_its_amount() -> None:
    assert BalanceTransaction(fee=481, fee_tax=44, fee_taxed=None).fee_parts == (0, 437, 44)
    assert BalanceTransaction(fee=437, fee_tax=0, fee_taxed=None).fee_parts == (437, 0, 0)


def test_fetching_again_posts_nothing_new(sandbox: Sandbox) -> None:
    sandbox.clock = NOW.timestamp
    build.paid_order(sandbox, now=NOW)
    balance.fetch_new(now=NOW)
    again = balance.fetch_new(now=NOW + timedelta(minutes=5))
    assert (again.seen, again.posted) == (1, 0)
    assert JournalEntry.objects.count() == 1


def test_a_database_that_does_not_work_is_not_tried_for_each_reading() -> None:
    tries = 0

    def locked(execute: Any, sql: str, *rest: Any) -> Any:
        nonlocal tries
        if "ledger_balancetransaction" in sql and sql.startswith("INSERT"):
            tries += 1
            raise OperationalError("database is locked")
        return execute(sql, *rest)

    readings = [reading(number) for number in range(50)]
    with connection.execute_wrapper(locked), pytest.raises(OperationalError):
        balance.record_transactions(readings, now=NOW, ask_stripe=False)
    assert tries == 2  # together, then the first alone
    assert balance.record_transactions(readings, now=NOW, ask_stripe=False).posted == 50


def test_a_reading_that_another_process_stored_meanwhile_is_skipped() -> None:
    rows = balance_postings.load_local_rows(["ch_1"])
    assert balance._store([reading()], rows, NOW) == 1
    assert balance._store([reading(), reading(2)], rows, NOW) == 1
    assert JournalEntry.objects.count() == 2


def test_a_reading_that_cannot_be_posted_does_not_stop_its_page(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    Refund.objects.create(  # without lines, so it cannot be posted
        order=order,
        payment=order.payments.get(),
        nonce="x",
        stripe_id="re_2",
        amount=100,
        requested_at=NOW,
    )
    readings = [reading(), reading(2, type="refund", source="re_2", amount=-100, fee=0, net=-100), reading(3)]
    with pytest.raises(journal.Unbalanced):
        balance.record_transactions(readings, now=NOW)
    assert set(BalanceTransaction.objects.values_list("pk", flat=True)) == {"txn_1", "txn_3"}


def test_a_page_is_posted_in_few_statements(
    sandbox: Sandbox, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    orders = [build.paid_order(sandbox, [build.line(f"P{number}")]) for number in range(12)]
    with django_assert_max_num_queries(12):
        build.fetch(sandbox)
    assert {entry.order for entry in JournalEntry.objects.all()} == set(orders)


def test_the_job_waits_for_the_event_of_a_young_charge_for_a_limited_time() -> None:
    waiting = balance.record_transactions(
        [reading()], now=NOW + timedelta(minutes=1), grace_period=balance.WEBHOOK_GRACE_PERIOD
    )
    assert (waiting.posted, waiting.waiting) == (0, ["txn_1"])
    assert not BalanceTransaction.objects.exists()
    assert not Discrepancy.objects.exists()
    later = balance.record_transactions(
        [reading()], now=NOW + timedelta(hours=2), grace_period=balance.WEBHOOK_GRACE_PERIOD
    )
    assert later.posted == 1
    assert Discrepancy.objects.get().kind == "missing_in_books"


def test_the_job_reads_back_far_enough_to_find_what_it_skipped(sandbox: Sandbox) -> None:
    sandbox.clock = NOW.timestamp
    order = build.order(now=NOW)
    sandbox.pay(build.session_of(order, now=NOW))  # its event is delayed
    assert balance.fetch_new(now=NOW).waiting
    later = NOW + timedelta(minutes=50)
    sandbox.clock = later.timestamp
    build.paid_order(sandbox, now=later)  # delivers both events
    assert balance.fetch_new(now=later).posted == 2
    assert not Discrepancy.objects.exists()
    assert JournalEntry.objects.filter(order=order).exists()


def test_a_currency_that_our_books_do_not_know_is_a_discrepancy_and_no_entry() -> None:
    balance.record_transactions([reading(currency="usd")], now=NOW)
    assert not JournalEntry.objects.exists()
    assert Discrepancy.objects.get().kind == "foreign_currency"


def test_a_charge_without_a_payment_keeps_1150_correct() -> None:
    balance.record_transactions([reading()], now=NOW)
    assert net_balance(accounts.STRIPE_BALANCE) == 96
    assert net_balance(accounts.PREPAYMENTS) == -100
    found = Discrepancy.objects.get()
    assert (found.kind, found.object_id, found.day) == ("missing_in_books", "ch_1", NOW.date())


def test_a_page_takes_few_queries_besides_its_writes(
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    readings = [reading(number) for number in range(250)]
    balance.record_transactions(readings, now=NOW)
    with django_assert_max_num_queries(3):  # all known: one query a page
        balance.record_transactions(readings, now=NOW)


def test_the_command_prints_what_it_did(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    build.paid_order(sandbox)
    call_command("fetch_balance")
    assert "1 balance transactions read, 1 posted" in capsys.readouterr().out


def test_the_command_fails_with_a_reason_when_stripe_does_not_answer(settings: Settings) -> None:
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    with pytest.raises(CommandError, match="Stripe could not be asked"):
        call_command("fetch_balance")


def test_a_fee_that_is_partly_taxed_has_both_accounts() -> None:
    parts = {"fee": 2_010, "fee_tax": 150, "fee_taxed": True, "taxable_fee": 1_500, "net": -1_910}
    balance.record_transactions([reading(**parts)], now=NOW, ask_stripe=False)
    fees = (accounts.FEES_EXEMPT, accounts.FEES_TAXABLE, accounts.INPUT_TAX)
    assert [net_balance(account) for account in fees] == [360, 1_500, 150]
    assert not Discrepancy.objects.filter(kind=Discrepancy.Kind.FEE_TAX).exists()


def test_a_tax_that_fits_no_part_of_the_fee_is_a_task_for_a_person() -> None:
    parts = {"fee": 2_010, "fee_tax": 50, "fee_taxed": True, "taxable_fee": 500, "net": -1_910}
    balance.record_transactions([reading(is_fee_doubtful=True, **parts)], now=NOW, ask_stripe=False)
    fees = (accounts.FEES_EXEMPT, accounts.FEES_TAXABLE, accounts.INPUT_TAX)
    assert [net_balance(account) for account in fees] == [1_460, 500, 50]
    task = Discrepancy.objects.get(kind=Discrepancy.Kind.FEE_TAX)
    assert (task.object_id, task.category) == ("txn_1", Discrepancy.Category.TO_DO)
    assert task.detail == "手数料 ¥2,010 の税 ¥50 に対応する内訳がない：課税分を税額から ¥500 とした"
