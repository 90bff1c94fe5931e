"""Closing a day against the stand-in of Stripe: recorded, compared, proved, stored, locked."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.files.storage import FileSystemStorage
from django.db import IntegrityError, connection, transaction
from pytest_django import DjangoAssertNumQueries, Settings

from kikaku.days import business_day
from kikaku.sandbox import Request, Response, Sandbox
from ledger.books import accounts, balance_postings
from ledger.books.trial_balance import net_balance
from ledger.closing import daily_close, evidence, journal_file, preparation, reconciliation
from ledger.closing.daily_close import CloseFailed, CloseResult, DayRefused, close_day, close_days, open_days
from ledger.ingest import inbox
from ledger.ingest.snapshot import fetch_snapshots
from ledger.models import (
    BalanceTransaction,
    DailyClose,
    Discrepancy,
    EvidenceFile,
    JournalEntry,
    JournalLine,
    Payment,
    Refund,
)
from ledger.sales import refunds
from ledger.stripe import client as stripe_client
from ledger.testing import build
from ledger.testing.closing import (
    MONDAY,
    TUESDAY,
    WEDNESDAY,
    at,
    create_foreign_charge,
    night_after,
    run_business_day,
    set_clock,
    without_vouchers,
)

pytestmark = pytest.mark.django_db


def test_a_day_of_sales_fees_shipments_and_refunds_closes_without_differences(sandbox: Sandbox) -> None:
    run_business_day(sandbox, MONDAY)
    result = close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    assert (result.state, result.differences, result.exit_code) == ("closed", 0, 0)
    assert not Discrepancy.objects.exists()
    close = DailyClose.objects.get()
    assert (close.day, close.run, close.previous_sha256) == (MONDAY, 1, "")
    # 12,130 − 437 and 5,500 − 198 − 20 came in, 3,000 went out
    assert close.stripe_balance == close.book_balance == 12_130 - 437 + 5_500 - 198 - 20 - 3_000
    assert close.stripe_balance == net_balance(accounts.STRIPE_BALANCE, until=MONDAY)
    assert result.report["trial_balance"][0]["account"] == "1150"
    assert sum(row["closing"] for row in result.report["trial_balance"]) == 0
    assert {check["findings"] for check in result.report["checks"]} == {0}


def test_five_files_are_stored_with_their_hashes(sandbox: Sandbox) -> None:
    run_business_day(sandbox, MONDAY)
    result = close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    assert result.folder == "daily-close/2026-11-16/1"
    assert set(EvidenceFile.objects.values_list("path", flat=True)) == {
        f"{result.folder}/{name}"
        for name in ("report.json", "report.html", "stripe-evidence.json", "journal.csv", "manifest.json")
    }


def test_a_closed_day_is_returned_as_it_is_and_nothing_changes(sandbox: Sandbox) -> None:
    run_business_day(sandbox, MONDAY)
    first = close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    again = close_day(MONDAY, now=night_after(TUESDAY))
    assert again.state == "already closed"
    assert (again.report, again.manifest_sha256) == (first.report, first.manifest_sha256)
    assert DailyClose.objects.count() == 1
    assert EvidenceFile.objects.count() == 5


def test_a_dry_run_returns_the_same_and_writes_nothing(sandbox: Sandbox, settings: Settings) -> None:
    run_business_day(sandbox, MONDAY)
    run_business_day(sandbox, TUESDAY)
    now = set_clock(sandbox, night_after(TUESDAY))
    build.fetch(sandbox)  # so that neither run posts an entry, whose voucher would have another number
    before = [model.objects.count() for model in (JournalEntry, BalanceTransaction, Discrepancy, DailyClose)]
    tried = list(close_days([MONDAY, TUESDAY], now=now, dry_run=True))
    assert [result.state for result in tried] == ["dry run", "dry run"]
    assert before == [
        model.objects.count() for model in (JournalEntry, BalanceTransaction, Discrepancy, DailyClose)
    ]
    assert not settings.EVIDENCE_ROOT.exists()
    closed = list(close_days([MONDAY, TUESDAY], now=now))
    assert [result.manifest_sha256 for result in closed] == [result.manifest_sha256 for result in tried]


def test_missed_days_are_caught_up_in_order_and_chained(sandbox: Sandbox) -> None:
    run_business_day(sandbox, MONDAY)
    run_business_day(sandbox, WEDNESDAY)
    now = set_clock(sandbox, night_after(WEDNESDAY))
    assert open_days(WEDNESDAY) == [MONDAY, TUESDAY, WEDNESDAY]
    results = list(close_days(open_days(WEDNESDAY), now=now))
    assert [result.differences for result in results] == [0, 0, 0]
    closes = list(DailyClose.objects.order_by("day"))
    assert closes[1].previous_sha256 == closes[0].manifest_sha256
    assert closes[2].previous_sha256 == closes[1].manifest_sha256
    assert closes[0].stripe_balance == closes[1].stripe_balance < closes[2].stripe_balance


def test_a_payment_after_15_utc_belongs_to_the_next_day(sandbox: Sandbox) -> None:
    now = set_clock(sandbox, at(MONDAY, 23, 59))
    build.paid_order(sandbox, [build.line(price=1_000)], now=now)
    now = set_clock(sandbox, at(TUESDAY, 0, 1))
    build.paid_order(sandbox, [build.line(price=2_000)], now=now)
    first = close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    assert first.differences == 0
    assert first.report["stripe"]["net"] == 1_500 - 54
    second = close_day(TUESDAY, now=set_clock(sandbox, night_after(TUESDAY)))
    assert second.differences == 0
    assert second.report["stripe"]["net"] == 2_500 - 90


def test_the_first_day_of_empty_books_closes(sandbox: Sandbox) -> None:
    now = set_clock(sandbox, night_after(MONDAY))
    assert open_days(MONDAY) == [MONDAY]
    assert close_day(MONDAY, now=now).differences == 0


def test_today_and_the_future_are_refused(sandbox: Sandbox) -> None:
    now = at(TUESDAY, 12)
    for day in (TUESDAY, WEDNESDAY):
        with pytest.raises(DayRefused, match="まだ終わっていません"):
            close_day(day, now=now)
    assert not DailyClose.objects.exists()


def test_a_day_after_an_open_one_is_refused(sandbox: Sandbox) -> None:
    run_business_day(sandbox, MONDAY)
    with pytest.raises(DayRefused, match="2026-11-16 がまだ締められていません"):
        close_day(TUESDAY, now=set_clock(sandbox, night_after(TUESDAY)))
    close_day(MONDAY, now=night_after(WEDNESDAY))
    with pytest.raises(DayRefused, match="2026-11-17 がまだ締められていません"):
        close_day(WEDNESDAY, now=night_after(WEDNESDAY))


@pytest.mark.parametrize("shipped", [False, True])
def test_a_dashboard_refund_before_midnight_that_is_faster_than_one_of_ours_leaves_no_difference(
    sandbox: Sandbox, settings: Settings, shipped: bool
) -> None:
    now = set_clock(sandbox, at(MONDAY, 10))
    order = build.paid_order(sandbox, placed=build.order(shipping_fee=0, now=now), now=now)
    build.fetch(sandbox)
    if shipped:
        build.ship(order, now=now)
    now = set_clock(sandbox, at(MONDAY, 23))
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"  # no server listens there
    ours = build.refund(order, 3_300, now=now)
    settings.STRIPE_API_BASE = ""
    payment = order.payments.get().payment_intent
    stripe_client.client().v1.refunds.create({"payment_intent": payment})
    refunds.send_requested(now=set_clock(sandbox, at(TUESDAY, 0, 10)))  # nothing is left for it
    build.deliver(sandbox)
    ours.refresh_from_db()
    assert ours.status == "failed"
    assert daily_close.close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY))).differences == 0


def test_a_day_before_the_books_began_is_refused(sandbox: Sandbox) -> None:
    close_day(TUESDAY, now=set_clock(sandbox, night_after(TUESDAY)))
    with pytest.raises(DayRefused, match="2026-11-16"):
        close_day(MONDAY, now=night_after(TUESDAY))


def test_pending_events_are_processed_first(sandbox: Sandbox) -> None:
    now = set_clock(sandbox, at(MONDAY))
    order = build.order(now=now)
    sandbox.pay(build.session_of(order, now=now))
    for delivery in sandbox.pending_deliveries():  # stored; the process died before it handled them
        inbox.receive(delivery.body, delivery.headers["Stripe-Signature"], now=now)
    assert close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY))).differences == 0
    order.refresh_from_db()
    assert order.status == "paid"


def test_a_charge_without_a_payment_is_a_difference_and_the_day_closes(sandbox: Sandbox) -> None:
    now = set_clock(sandbox, at(MONDAY))
    create_foreign_charge(sandbox, now)
    result = close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    assert (result.differences, result.exit_code) == (1, 2)
    found = Discrepancy.objects.get()
    assert (found.kind, found.object_id[:3], found.amount, found.day) == (
        "missing_in_books",
        "ch_",
        11_500,
        MONDAY,
    )
    assert result.report["proof"]["difference"] == 0  # 1150 is correct nevertheless
    assert net_balance(accounts.PREPAYMENTS) == -11_500


def test_a_resolved_discrepancy_no_longer_counts(sandbox: Sandbox) -> None:
    now = set_clock(sandbox, at(MONDAY))
    create_foreign_charge(sandbox, now)
    build.fetch(sandbox)
    Discrepancy.objects.update(resolved_at=now, resolved_by="staff", resolution="known")
    result = close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    assert result.differences == 0
    assert Discrepancy.objects.count() == 1


def test_a_payment_that_stripe_does_not_know_is_a_difference(sandbox: Sandbox) -> None:
    now = set_clock(sandbox, at(MONDAY))
    order = build.order(now=now)
    Payment.objects.create(
        order=order, payment_intent="pi_forged", charge="ch_forged", amount=1, captured_at=now
    )
    result = close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    assert [(row["kind"], row["object"]) for row in result.report["discrepancies"]] == [
        ("missing_at_stripe", "ch_forged")
    ]


def test_a_refund_that_stripe_does_not_know_is_a_difference(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox, now=set_clock(sandbox, at(MONDAY)))
    Refund.objects.create(
        order=order,
        payment=order.payments.get(),
        stripe_id="re_forged",
        amount=1,
        status=Refund.Status.SUCCEEDED,
        requested_at=at(MONDAY),
    )
    difference = reconciliation.Difference(
        Discrepancy.Kind.MISSING_AT_STRIPE, "re_forged", 1, f"返金 {order.refunds.get().pk} が Stripe にない"
    )
    (snapshot,) = fetch_snapshots([MONDAY], now=set_clock(sandbox, night_after(MONDAY)))
    assert difference in reconciliation.compare(snapshot)


def test_a_refund_that_was_sent_days_after_its_request_is_no_difference(
    sandbox: Sandbox, settings: Settings
) -> None:
    order = build.paid_order(sandbox, now=set_clock(sandbox, at(MONDAY, 10)))
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    build.refund(order, 500, now=at(MONDAY, 11))
    settings.STRIPE_API_BASE = ""
    refunds.send_requested(now=set_clock(sandbox, at(WEDNESDAY, 9)))
    closed = close_days([MONDAY, TUESDAY, WEDNESDAY], now=set_clock(sandbox, night_after(WEDNESDAY)))
    assert [result.report["discrepancies"] for result in closed] == [[], [], []]


def pay_after_the_close(sandbox: Sandbox) -> None:
    """Close Monday, and then create a payment of Monday at Stripe."""
    close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    now = set_clock(sandbox, at(MONDAY, 20))
    build.paid_order(sandbox, now=now)
    set_clock(sandbox, night_after(TUESDAY))


def test_a_transaction_that_surfaces_late_is_listed_on_both_days(sandbox: Sandbox) -> None:
    pay_after_the_close(sandbox)
    result = close_day(TUESDAY, now=night_after(TUESDAY))
    assert sorted(Discrepancy.objects.filter(kind="late").values_list("day", flat=True)) == [MONDAY, TUESDAY]
    entry = JournalEntry.objects.get(purpose="capture")
    assert (entry.day, business_day(entry.occurred_at)) == (TUESDAY, MONDAY)
    assert result.report["proof"]["difference"] == 0
    assert [row["kind"] for row in result.report["discrepancies"]] == ["late"]


def test_a_dry_run_finds_what_surfaced_late_too(sandbox: Sandbox) -> None:
    pay_after_the_close(sandbox)
    tried = close_day(TUESDAY, now=night_after(TUESDAY), dry_run=True)
    assert not Discrepancy.objects.exists()
    closed = close_day(TUESDAY, now=night_after(TUESDAY))
    assert without_vouchers(tried.report) == without_vouchers(closed.report)


def test_money_in_the_books_that_stripe_does_not_have_is_a_difference_by_id_and_in_the_balance(
    sandbox: Sandbox,
) -> None:
    run_business_day(sandbox, MONDAY)
    now = at(MONDAY, 18)
    with transaction.atomic():
        forged = BalanceTransaction.objects.create(
            id="txn_forged",
            type="adjustment",
            source="",
            amount=777,
            fee=0,
            net=777,
            created=now,
            available_on=now,
            day=MONDAY,
        )
        balance_postings.post_balance_transactions([forged], now=now)
    result = close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    found = {(row["kind"], row["object"]): row["amount"] for row in result.report["discrepancies"]}
    assert found == {
        ("missing_at_stripe", "txn_forged"): -777,
        ("unknown_type", "txn_forged"): 777,
        ("balance", "1150"): -777,
    }
    assert result.exit_code == 2
    assert net_balance(accounts.SUSPENSE) == -777


def test_an_unbalanced_book_keeps_the_day_open(sandbox: Sandbox) -> None:
    run_business_day(sandbox, MONDAY)
    build.fetch(sandbox)
    entry = JournalEntry.objects.filter(purpose="capture").earliest("pk")
    JournalLine.objects.create(entry=entry, position=9, account_id="1110", debit=5)
    with pytest.raises(CloseFailed, match="貸借が合わない"):
        close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    assert not DailyClose.objects.exists()
    assert not EvidenceFile.objects.exists()


def test_when_stripe_does_not_answer_nothing_is_closed_or_changed(
    sandbox: Sandbox, settings: Settings
) -> None:
    run_business_day(sandbox, MONDAY)
    before = JournalEntry.objects.count()
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"  # no server listens there
    with pytest.raises(CloseFailed, match="Stripeから応答がない"):
        close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    assert not DailyClose.objects.exists()
    assert JournalEntry.objects.count() == before
    assert not settings.EVIDENCE_ROOT.exists()


def test_the_slower_of_two_processes_returns_the_close_of_the_other(sandbox: Sandbox) -> None:
    run_business_day(sandbox, MONDAY)
    now = set_clock(sandbox, night_after(MONDAY))
    snapshot = next(fetch_snapshots([MONDAY], now=now))  # the slower process has asked Stripe already
    close = close_day(MONDAY, now=now)
    slower = daily_close.close_snapshot(snapshot, now=now)
    assert slower.state == "already closed"
    assert slower.manifest_sha256 == close.manifest_sha256
    assert EvidenceFile.objects.count() == 5


def test_an_entry_that_is_posted_while_a_day_is_prepared_stops_its_lock(sandbox: Sandbox) -> None:
    order = run_business_day(sandbox, MONDAY)
    set_clock(sandbox, at(MONDAY, 20))
    build.fetch(sandbox)
    snapshot = next(fetch_snapshots([MONDAY], now=night_after(MONDAY)))
    prepared = preparation.prepare(snapshot)
    late = build.paid_order(sandbox, now=at(MONDAY, 20))
    build.ship(late, now=at(MONDAY, 21))
    with pytest.raises(daily_close._EntriesChanged), transaction.atomic():
        daily_close._lock(prepared, run=1, now=night_after(MONDAY))
    assert not DailyClose.objects.exists()
    assert order.entries.exists()


def test_a_run_that_a_crash_left_behind_keeps_its_number(sandbox: Sandbox) -> None:
    run_business_day(sandbox, MONDAY)
    evidence.store(
        MONDAY, 1, {"report.json": evidence.build([b"{}"])}
    )  # the process died before the day was locked
    result = close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    assert result.folder == "daily-close/2026-11-16/2"
    assert evidence.read("daily-close/2026-11-16/1/report.json") == b"{}"


def test_a_fact_of_a_closed_day_posts_to_the_first_open_day(sandbox: Sandbox) -> None:
    now = set_clock(sandbox, at(MONDAY, 10))
    order = build.paid_order(sandbox, now=now)
    close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    shipment = build.ship(order, now=at(MONDAY, 23))  # recorded after midnight, with the time on the label
    entry = JournalEntry.objects.get(source_type="shipment", source_id=str(shipment.pk))
    assert (entry.day, entry.occurred_at) == (TUESDAY, at(MONDAY, 23))


def test_failing_refunds_leave_what_is_owed_and_close_with_the_discrepancy(sandbox: Sandbox) -> None:
    now = set_clock(sandbox, at(MONDAY, 10))
    order = build.paid_order(sandbox, card="4000000000005126", now=now)
    build.fetch(sandbox)
    build.refund(order, 4_000, now=now)
    set_clock(sandbox, at(MONDAY, 20))
    build.deliver(sandbox)
    result = close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    assert [row["kind"] for row in result.report["discrepancies"]] == ["refund_failed"]
    assert result.report["sub_ledgers"]["2120"] == {"orders": 1, "owed": 4_000, "without_order": 0}
    assert result.report["proof"]["difference"] == 0


def test_closing_takes_a_bounded_number_of_queries(
    sandbox: Sandbox, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    now = set_clock(sandbox, at(MONDAY, 10))
    for number in range(12):
        build.paid_order(sandbox, [build.line(f"S{number % 3}", price=3_000)], now=now)
    build.fetch(sandbox)
    with django_assert_max_num_queries(78):
        assert close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY))).differences == 0


@pytest.mark.django_db(transaction=True)
def test_two_processes_at_the_same_time_close_a_day_once(sandbox: Sandbox) -> None:
    run_business_day(sandbox, MONDAY)
    now = set_clock(sandbox, night_after(MONDAY))
    start = threading.Barrier(2)

    def close() -> CloseResult:
        try:
            start.wait(10)
            return close_day(MONDAY, now=now)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        results = [run.result(60) for run in [pool.submit(close), pool.submit(close)]]
    assert sorted(result.state for result in results) == ["already closed", "closed"]
    assert results[0].manifest_sha256 == results[1].manifest_sha256
    assert DailyClose.objects.count() == 1
    assert EvidenceFile.objects.count() == 5
    assert JournalEntry.objects.count() == 4


@pytest.mark.django_db(transaction=True)
def test_an_entry_posted_while_its_day_is_locked_moves_to_the_next_day_or_is_refused(
    sandbox: Sandbox,
) -> None:
    order = build.paid_order(sandbox, now=set_clock(sandbox, at(MONDAY)))
    now = set_clock(sandbox, night_after(MONDAY))
    start = threading.Barrier(2)

    def close() -> str:
        try:
            start.wait(10)
            return close_day(MONDAY, now=now).state
        finally:
            connection.close()

    def ship() -> str:
        try:
            start.wait(10)
            build.ship(order, now=at(MONDAY, 23))
        except IntegrityError as refused:
            return str(refused)
        finally:
            connection.close()
        return "shipped"

    with ThreadPoolExecutor(2) as pool:
        states = [run.result(60) for run in [pool.submit(close), pool.submit(ship)]]
    assert states[0] == "closed"
    assert states[1] == "shipped" or "closed" in states[1]
    stored = journal_file.read(
        evidence.read(f"daily-close/{MONDAY}/{DailyClose.objects.get().run}/journal.csv")
    )
    assert len(stored) == JournalLine.objects.filter(entry__day=MONDAY).count()


def pay_while_the_balance_is_asked_for(sandbox: Sandbox, sessions: list[str]) -> None:
    """Pay one of the sessions during each request for the balance."""

    def observe(request: Request, _response: Response) -> None:
        if request.target == "/v1/balance" and sessions:
            sandbox.pay(sessions.pop())

    sandbox.observer = observe


def test_a_payment_while_the_balance_is_read_causes_no_difference(sandbox: Sandbox) -> None:
    run_business_day(sandbox, MONDAY)
    now = set_clock(sandbox, night_after(MONDAY))
    sessions = [build.session_of(build.order(now=now), now=now) for _customer in range(2)]
    pay_while_the_balance_is_asked_for(sandbox, sessions)
    result = close_day(MONDAY, now=now)
    assert not sessions
    assert (result.differences, result.report["proof"]["difference"]) == (0, 0)


def test_a_balance_that_keeps_changing_fails_the_close_with_a_reason(sandbox: Sandbox) -> None:
    now = set_clock(sandbox, night_after(MONDAY))
    sessions = [build.session_of(build.order(now=now), now=now) for _customer in range(6)]
    pay_while_the_balance_is_asked_for(sandbox, sessions)
    with pytest.raises(CloseFailed, match="変わり続けました"):
        close_day(MONDAY, now=now)
    assert not DailyClose.objects.exists()


class Renaming(FileSystemStorage):
    """A storage that gives each file another name than it is asked to."""

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        return f"{name}.1"


def test_a_folder_that_is_always_taken_is_named_as_the_reason(sandbox: Sandbox, settings: Settings) -> None:
    run_business_day(sandbox, MONDAY)
    disk = settings.STORAGES["evidence"]
    renaming = disk | {"BACKEND": f"{Renaming.__module__}.{Renaming.__name__}"}
    settings.STORAGES = settings.STORAGES | {"evidence": renaming}
    with pytest.raises(CloseFailed, match=r"5 回続けて.* daily-close/2026-11-16/5/journal\.csv"):
        close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    assert not DailyClose.objects.exists()
    settings.STORAGES = settings.STORAGES | {"evidence": disk}
    assert close_day(MONDAY, now=night_after(MONDAY)).state == "closed"
