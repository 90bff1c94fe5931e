"""A clock that is wrong by an hour for a while: nothing is done twice, and nothing waits for longer."""

from datetime import timedelta

import pytest

from kikaku.days import business_day
from ledger.ingest import inbox
from ledger.models import DailyClose, Discrepancy, JournalEntry
from ledger.sales.checkout import PaymentUnavailable
from ledger.testing.crashes.operations import (
    ORDER,
    PAID,
    DeliverEvent,
    Operation,
    operation_named,
    operations_to_try,
    ship,
)
from ledger.testing.crashes.scenarios import Scenarios, settled_summary
from ledger.testing.histories.at_stripe import RefundAtStripe
from ledger.testing.histories.customers import Pay
from ledger.testing.histories.time_and_jobs import Close, WaitForMidnight
from ledger.testing.histories.world import JOBS, World, temporary_world

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)
# the others open a payment page, which fails with a slow clock: tested below
OPERATIONS_WITHOUT_PAYMENT = operations_to_try(2, where=lambda operation: not operation.after)


def shift_clock(world: World, by: timedelta) -> None:
    """Move our clock; Stripe's stays correct."""
    right = world.now
    world.sandbox.clock = right.timestamp
    world.now = right + by


def correct_clock(world: World, by: timedelta) -> None:
    """Move our clock back to the correct time, a minute later."""
    world.now = world.now - by + timedelta(minutes=1)
    world.sandbox.clock = lambda: world.now.timestamp()


@pytest.mark.parametrize("by", [HOUR, -HOUR], ids=["an hour ahead", "an hour behind"])
@pytest.mark.parametrize("operation", OPERATIONS_WITHOUT_PAYMENT)
def test_an_operation_with_a_wrong_clock_is_done_once(
    scenarios: Scenarios, operation: Operation, by: timedelta
) -> None:
    expected = scenarios.outcome(operation)
    with scenarios.before(operation) as world:
        shift_clock(world, by)
        operation.action(world)
        world.run(*JOBS)
        for delivery in world.sandbox.pending_deliveries():
            world.deliver(delivery)
        correct_clock(world, by)
        assert settled_summary(world) == expected


def test_a_slow_clock_stops_payment_pages_until_it_is_corrected(
    scenarios: Scenarios,
) -> None:
    operation = operation_named("place an order")
    expected = scenarios.outcome(operation)
    with scenarios.before(operation) as world:
        shift_clock(world, -HOUR)
        with pytest.raises(PaymentUnavailable):  # Stripe refuses a page that expires in the past
            operation.action(world)
        world.run(*JOBS)
        correct_clock(world, -HOUR)
        for action in (operation.action, *operation.after):
            action(world)
        assert settled_summary(world) == expected


def test_a_page_opened_with_a_fast_clock_is_paid_and_not_closed_early(
    scenarios: Scenarios,
) -> None:
    operation = operation_named("place an order")
    expected = scenarios.outcome(operation)
    with scenarios.before(operation) as world:
        shift_clock(world, HOUR)
        operation.action(world)
        correct_clock(world, HOUR)
        world.wait(HOUR)
        world.run(*JOBS)
        for action in operation.after:
            action(world)
        assert settled_summary(world) == expected


def test_a_fact_dated_into_a_closed_day_is_posted_to_the_next_day(scenarios: Scenarios) -> None:
    with temporary_world(scenarios.template_folder) as world:
        for action in (*PAID, WaitForMidnight(60), Close()):
            action(world)
        closed_day = DailyClose.objects.latest("day").day
        shift_clock(world, -HOUR)
        assert business_day(world.now) == closed_day
        ship(world)
        entry = JournalEntry.objects.get(source_type="shipment")
        assert business_day(entry.occurred_at) == closed_day < entry.day
        correct_clock(world, -HOUR)
        settled_summary(world)


def test_a_lease_taken_with_a_fast_clock_ends_an_hour_late(
    scenarios: Scenarios,
) -> None:
    with temporary_world(scenarios.template_folder) as world:
        for action in (ORDER, Pay()):
            action(world)
        shift_clock(world, HOUR)
        delivery = world.sandbox.pending_deliveries()[0]
        event = inbox.receive(delivery.body, delivery.headers["Stripe-Signature"], now=world.now)
        assert inbox.claim(event.pk, now=world.now)
        correct_clock(world, HOUR)
        assert not world.deliver(delivery)  # 409
        world.wait(HOUR + inbox.EVENT_LEASE)
        assert world.deliver(delivery)
        assert settled_summary(world)["orders"] == {("paid", "", 25_290): 1}


def test_the_event_of_a_refund_waits_for_its_payment_despite_a_fast_clock(scenarios: Scenarios) -> None:
    with temporary_world(scenarios.template_folder) as world:
        for action in (ORDER, Pay(), RefundAtStripe()):
            action(world)
        shift_clock(world, HOUR)
        DeliverEvent("refund.created")(world)
        assert not Discrepancy.objects.exists()
        correct_clock(world, HOUR)
        assert settled_summary(world)["refunds"] == {(25_290, "succeeded"): 1}
