"""The daily close beside other processes.

A day is closed once. What arrives meanwhile is posted to that day or to the next.
"""

import threading
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from kikaku.sandbox import Sandbox
from kikaku.testing.database import engine
from kikaku.transactions import unit_of_work
from ledger.books import journal
from ledger.books.posting import Draft, Line
from ledger.closing import evidence, journal_file, verification
from ledger.closing.daily_close import CloseFailed, close_day
from ledger.ingest import inbox
from ledger.models import DailyClose, JournalEntry, JournalLine
from ledger.testing import build
from ledger.testing.closing import MONDAY, TUESDAY, at, night_after, run_business_day, set_clock
from ledger.testing.processes import WaitForAll, run_in_processes

pytestmark = pytest.mark.django_db(transaction=True)


def stored_journal_lines(close: DailyClose) -> int:
    """Return the number of journal lines in the stored evidence of a close."""
    return len(journal_file.read(evidence.read(f"daily-close/{close.day}/{close.run}/journal.csv")))


def test_two_closes_run_while_others_handle_events_fetch_and_ship(sandbox: Sandbox) -> None:
    run_business_day(sandbox, MONDAY)
    now = set_clock(sandbox, at(MONDAY, 23, 30))
    to_ship = [build.paid_order(sandbox, now=now) for _order in range(3)]
    for _customer in range(6):
        sandbox.pay(build.session_of(build.order(now=now), now=now))
    undelivered = sandbox.pending_deliveries()
    now = set_clock(sandbox, night_after(MONDAY))

    def close(wait_for_all: WaitForAll) -> str:
        wait_for_all()
        return close_day(MONDAY, now=now).state

    def deliver(wait_for_all: WaitForAll) -> str:
        wait_for_all()
        for delivery in undelivered:
            event = inbox.receive(delivery.body, delivery.headers["Stripe-Signature"], now=now)
            try:
                inbox.process(event.pk, now=now)
            except inbox.AlreadyClaimed:
                continue
        return "delivered"

    def ship(wait_for_all: WaitForAll) -> str:
        wait_for_all()
        for order in to_ship:
            build.ship(order, now=at(MONDAY, 23, 50))  # the clock of this machine is slow
        return "shipped"

    def fetch(wait_for_all: WaitForAll) -> str:
        wait_for_all()
        build.fetch(sandbox)
        return "fetched"

    done = run_in_processes([close, close, deliver, deliver, ship, fetch])
    assert Counter(done) == {"closed": 1, "already closed": 1, "delivered": 2, "shipped": 1, "fetched": 1}

    close_of_monday = DailyClose.objects.get()
    assert stored_journal_lines(close_of_monday) == JournalLine.objects.filter(entry__day=MONDAY).count()
    assert close_of_monday.stripe_balance == close_of_monday.book_balance
    for _run in range(3):
        inbox.process_pending(now=now + timedelta(minutes=6))
    assert close_day(TUESDAY, now=set_clock(sandbox, night_after(TUESDAY))).report["proof"]["difference"] == 0
    assert not list(verification.verify())


def test_a_close_during_constant_postings_succeeds_or_reports_why_not(sandbox: Sandbox) -> None:
    build.paid_order(sandbox, now=set_clock(sandbox, at(MONDAY)))
    now = set_clock(sandbox, night_after(MONDAY))

    def close(wait_for_all: WaitForAll) -> str:
        wait_for_all()
        try:
            return close_day(MONDAY, now=now).state
        except CloseFailed as reason:
            return str(reason)

    def post(wait_for_all: WaitForAll) -> str:
        wait_for_all()
        for number in range(40):
            unit_of_work(journal.post)(draft(number), now=now)
        return "posted"

    done = run_in_processes([close, post, post])
    assert done[1:] == ["posted", "posted"]
    assert done[0] == "closed" or "kept coming in" in done[0]
    assert JournalEntry.objects.filter(source_type="opening").count() == 40
    for closed in DailyClose.objects.all():
        assert stored_journal_lines(closed) == JournalLine.objects.filter(entry__day=MONDAY).count()


def draft(number: int = 0) -> Draft:
    return Draft(
        occurred_at=at(MONDAY, 23),
        order_id=None,
        source_type="opening",
        source_id=str(number),
        purpose="opening",
        description="",
        counterparty="Stripe",
        amount=100,
        lines=(Line("1150", debit=100), Line("2130", credit=100)),
    )


@pytest.mark.skipif(
    engine() == "sqlite", reason="SQLite has one writer: no other process can close meanwhile"
)
def test_an_entry_whose_day_is_closed_between_check_and_insert_goes_to_the_next_day() -> None:
    """PostgreSQL's trigger refuses the insert; the writer checks the day again instead of failing."""

    def close() -> None:
        DailyClose.objects.create(
            day=MONDAY,
            run=1,
            stripe_balance=0,
            book_balance=0,
            differences=0,
            manifest_sha256="0" * 64,
            closed_at=night_after(MONDAY),
        )
        connection.close()

    closing_threads: list[threading.Thread] = []

    def close_before_insert(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith('INSERT INTO "ledger_journalentry"') and not closing_threads:
            closing_threads.append(threading.Thread(target=close))
            closing_threads[0].start()
            closing_threads[0].join()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(close_before_insert), transaction.atomic():
        entry = journal.post(draft(), now=night_after(MONDAY))
    assert DailyClose.objects.get().day == MONDAY
    assert entry.day == TUESDAY
