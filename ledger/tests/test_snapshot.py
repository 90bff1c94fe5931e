"""Snapshots hold everything that closing a day needs from Stripe, and fetching them changes nothing here."""

from collections import Counter
from dataclasses import FrozenInstanceError
from datetime import timedelta

import pytest

from kikaku.sandbox import Request, Response, Sandbox
from ledger.closing.daily_close import close_day, close_days
from ledger.ingest.snapshot import StripeSnapshot, fetch_snapshots
from ledger.models import BalanceTransaction, DailyClose, JournalEntry, Payment
from ledger.stripe import client as stripe_client
from ledger.testing import build
from ledger.testing.closing import (
    MONDAY,
    TUESDAY,
    WEDNESDAY,
    at,
    night_after,
    run_business_day,
    set_clock,
    without_vouchers,
)

pytestmark = pytest.mark.django_db


def snapshot_of_monday(sandbox: Sandbox) -> StripeSnapshot:
    return next(fetch_snapshots([MONDAY], now=set_clock(sandbox, night_after(MONDAY))))


def count_requests(sandbox: Sandbox) -> Counter[str]:
    """Count the requests to the stand-in from now on, by path."""
    counts: Counter[str] = Counter()

    def observe(request: Request, _response: Response) -> None:
        counts[request.target.split("?")[0]] += 1

    sandbox.observer = observe
    return counts


def test_a_snapshot_holds_the_days_objects_and_the_balance_at_its_end(sandbox: Sandbox) -> None:
    run_business_day(sandbox, MONDAY)
    build.paid_order(sandbox, [build.line(price=2_000)], now=set_clock(sandbox, at(TUESDAY, 0, 30)))
    snapshot = snapshot_of_monday(sandbox)
    assert [reading.type for reading in snapshot.transactions] == ["charge", "charge", "refund"]
    assert [charge.brand for charge in snapshot.charges] == ["visa", "jcb"]
    assert [refund.amount for refund in snapshot.refunds] == [3_000]
    assert snapshot.balance == sum(reading.net for reading in snapshot.transactions)
    assert [reading.amount for reading in snapshot.other_days] == [2_500]


def test_a_snapshot_cannot_be_changed(sandbox: Sandbox) -> None:
    snapshot = snapshot_of_monday(sandbox)
    with pytest.raises(FrozenInstanceError):
        snapshot.balance = 1  # type: ignore[misc]


def test_fetching_a_snapshot_records_nothing(sandbox: Sandbox) -> None:
    now = set_clock(sandbox, at(MONDAY))
    sandbox.pay(build.session_of(build.order(now=now), now=now))
    snapshot = snapshot_of_monday(sandbox)
    assert len(snapshot.answers.charges) == 1
    for model in (BalanceTransaction, JournalEntry, Payment):
        assert not model._default_manager.exists()


def answered(snapshot: StripeSnapshot) -> tuple[list[str], list[str]]:
    """Return the charges and the refunds that a snapshot has whole, since no webhook reported them."""
    return (
        [charge["id"] for charge in snapshot.answers.charges],
        [refund["id"] for refund in snapshot.answers.refunds],
    )


def test_the_webhooks_that_have_not_arrived_are_found_by_their_objects(sandbox: Sandbox) -> None:
    now = set_clock(sandbox, at(MONDAY))
    paid = build.paid_order(sandbox, now=now)
    sandbox.pay(build.session_of(build.order(now=now), now=now))
    known = paid.payments.get()
    stripe_client.client().v1.refunds.create({"payment_intent": known.payment_intent, "amount": 500})
    snapshot = snapshot_of_monday(sandbox)
    (missing,) = {charge.id for charge in snapshot.charges} - {known.charge}
    assert answered(snapshot) == ([missing], [snapshot.refunds[0].id])

    build.deliver(sandbox)
    assert answered(snapshot_of_monday(sandbox)) == ([], [])


def test_a_failed_refund_whose_webhook_has_not_arrived_is_found_by_the_money_that_returned(
    sandbox: Sandbox,
) -> None:
    now = set_clock(sandbox, at(TUESDAY, 0) - timedelta(seconds=1))
    order = build.paid_order(sandbox, card="4000000000005126", now=now)
    refund = build.refund(order, 3_000, now=now)  # its failure, after midnight, is not delivered
    snapshot = next(fetch_snapshots([TUESDAY], now=set_clock(sandbox, night_after(TUESDAY))))
    assert [reading.type for reading in snapshot.transactions] == ["refund_failure"]
    assert snapshot.refunds == []  # it was made on Monday
    assert answered(snapshot)[1] == [refund.stripe_id]


def test_earlier_days_are_read_again_only_while_the_balance_is_not_explained(sandbox: Sandbox) -> None:
    run_business_day(sandbox, MONDAY)
    close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    run_business_day(sandbox, TUESDAY)
    now = set_clock(sandbox, night_after(TUESDAY))
    counts = count_requests(sandbox)
    assert next(fetch_snapshots([TUESDAY], now=now)).other_days == []
    requests_in_balance = counts["/v1/balance_transactions"]

    late = build.paid_order(sandbox, now=set_clock(sandbox, at(MONDAY, 20)))
    set_clock(sandbox, now)
    counts.clear()
    snapshot = next(fetch_snapshots([TUESDAY], now=now))
    assert [reading.source for reading in snapshot.other_days] == [late.payments.get().charge]
    assert counts["/v1/balance_transactions"] == requests_in_balance + 1  # Monday explains it


def test_the_balance_is_read_once_for_consecutive_days(sandbox: Sandbox) -> None:
    for day in (MONDAY, TUESDAY, WEDNESDAY):
        run_business_day(sandbox, day)
    now = set_clock(sandbox, night_after(WEDNESDAY))
    counts = count_requests(sandbox)
    results = list(close_days([MONDAY, TUESDAY, WEDNESDAY], now=now))
    assert [result.differences for result in results] == [0, 0, 0]
    assert counts["/v1/balance"] == 1


def test_a_dry_run_of_several_days_finds_what_surfaced_late_and_says_what_the_close_will(
    sandbox: Sandbox,
) -> None:
    run_business_day(sandbox, MONDAY)
    close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    build.paid_order(sandbox, now=set_clock(sandbox, at(MONDAY, 20)))
    run_business_day(sandbox, WEDNESDAY)
    now = set_clock(sandbox, night_after(WEDNESDAY))
    tried = list(close_days([TUESDAY, WEDNESDAY], now=now, dry_run=True))
    assert DailyClose.objects.count() == 1
    closed = list(close_days([TUESDAY, WEDNESDAY], now=now))
    for said, done in zip(tried, closed, strict=True):
        assert without_vouchers(said.report) == without_vouchers(done.report)
    assert [result.report["proof"]["difference"] for result in closed] == [0, 0]
    assert [[row["kind"] for row in result.report["discrepancies"]] for result in closed] == [["late"], []]


def test_a_snapshot_of_several_days_holds_the_next_day_and_what_comes_after_the_run(sandbox: Sandbox) -> None:
    sold = {}
    for number in range(4):  # of the last day the books are not asked to close anything
        day = MONDAY + timedelta(days=number)
        order = build.paid_order(sandbox, now=set_clock(sandbox, at(day, 10)))
        sold[order.payments.get().charge] = day
    now = set_clock(sandbox, at(MONDAY + timedelta(days=3), 12))
    snapshots = fetch_snapshots([MONDAY, TUESDAY, WEDNESDAY], now=now)
    held = [{sold[reading.source] for reading in next(snapshots).other_days} for _day in range(3)]
    thursday = MONDAY + timedelta(days=3)
    assert held == [{TUESDAY, thursday}, {WEDNESDAY}, set()]
