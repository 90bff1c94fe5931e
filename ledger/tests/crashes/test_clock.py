"""A clock that is wrong by an hour for a while: nothing is done twice, and nothing waits for longer than that."""

from datetime import timedelta

import pytest

from kikaku.days import business_day
from ledger.ingest import inbox
from ledger.models import DailyClose, Discrepancy, JournalEntry
from ledger.sales.checkout import PaymentUnavailable
from ledger.testing.crashes.operations import ORDER, PAID, Hear, Operation, named, ship, tried
from ledger.testing.crashes.scene import Scene, settled
from ledger.testing.histories.acts import Close, Pay, RefundAtStripe, WaitForMidnight
from ledger.testing.histories.world import JOBS, World, a_world

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)
# paying needs a page, and that needs a clock that is right: below
AT_ANY_TIME = tried(2, where=lambda operation: not operation.then)


def set_wrong(world: World, by: timedelta) -> None:
    """Move our clock; Stripe's stays right."""
    right = world.now
    world.sandbox.clock = right.timestamp
    world.now = right + by


def set_right(world: World, by: timedelta) -> None:
    """Move our clock back, a minute later."""
    world.now = world.now - by + timedelta(minutes=1)
    world.sandbox.clock = lambda: world.now.timestamp()


@pytest.mark.parametrize("by", [HOUR, -HOUR], ids=["an hour ahead", "an hour behind"])
@pytest.mark.parametrize("operation", AT_ANY_TIME)
def test_what_is_done_by_a_wrong_clock_is_done_once(
    scene: Scene, operation: Operation, by: timedelta
) -> None:
    end = scene.end(operation)
    with scene.before(operation) as world:
        set_wrong(world, by)
        operation.deed(world)
        world.run(*JOBS)
        for delivery in world.sandbox.pending_deliveries():
            world.deliver(delivery)
        set_right(world, by)
        assert settled(world) == end


def test_a_shop_that_is_behind_can_not_open_payment_pages_and_sells_when_it_is_right_again(
    scene: Scene,
) -> None:
    operation = named("place an order")
    end = scene.end(operation)
    with scene.before(operation) as world:
        set_wrong(world, -HOUR)
        with pytest.raises(PaymentUnavailable):  # for Stripe the page would be over before it begins
            operation.deed(world)
        world.run(*JOBS)
        set_right(world, -HOUR)
        for deed in (operation.deed, *operation.then):
            deed(world)
        assert settled(world) == end


def test_a_page_that_was_opened_by_a_clock_ahead_is_paid_and_none_is_closed_while_it_can_be_paid(
    scene: Scene,
) -> None:
    operation = named("place an order")
    end = scene.end(operation)
    with scene.before(operation) as world:
        set_wrong(world, HOUR)
        operation.deed(world)
        set_right(world, HOUR)
        world.wait(HOUR)
        world.run(*JOBS)
        for deed in operation.then:
            deed(world)
        assert settled(world) == end


def test_what_is_dated_back_into_a_closed_day_is_posted_to_the_next(scene: Scene) -> None:
    with a_world(scene.ground) as world:
        for deed in (*PAID, WaitForMidnight(60), Close()):
            deed(world)
        closed = DailyClose.objects.latest("day").day
        set_wrong(world, -HOUR)
        assert business_day(world.now) == closed
        ship(world)
        entry = JournalEntry.objects.get(source_type="shipment")
        assert business_day(entry.occurred_at) == closed < entry.day
        set_right(world, -HOUR)
        settled(world)


def test_what_a_dead_process_had_claimed_by_a_clock_ahead_waits_an_hour_longer_and_no_more(
    scene: Scene,
) -> None:
    with a_world(scene.ground) as world:
        for deed in (ORDER, Pay()):
            deed(world)
        set_wrong(world, HOUR)
        delivery = world.sandbox.pending_deliveries()[0]
        event = inbox.receive(delivery.body, delivery.headers["Stripe-Signature"], now=world.now)
        assert inbox.claim(event.pk, now=world.now)
        set_right(world, HOUR)
        assert not world.deliver(delivery)  # 409
        world.wait(HOUR + inbox.EVENT_LEASE)
        assert world.deliver(delivery)
        assert settled(world)["orders"] == {("paid", "", 25_290): 1}


def test_a_refund_that_is_told_before_its_payment_waits_for_it_by_whatever_clock(scene: Scene) -> None:
    with a_world(scene.ground) as world:
        for deed in (ORDER, Pay(), RefundAtStripe()):
            deed(world)
        set_wrong(world, HOUR)
        Hear("refund.created")(world)
        assert not Discrepancy.objects.exists()
        set_right(world, HOUR)
        assert settled(world)["refunds"] == {(25_290, "succeeded"): 1}
