"""Whatever happens to the shop in whatever order: the books hold. `make soak` lives ten thousand such histories."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kikaku.testing.database import engine
from ledger.testing.histories.acts import (
    Act,
    AnswerLost,
    AnswerRefund,
    Close,
    Deliver,
    Lose,
    Pay,
    PayVoucher,
    Place,
    Refund,
    RefundAtStripe,
    TakeVoucher,
    Wait,
    WaitForMidnight,
)
from ledger.testing.histories.runner import live, live_many
from ledger.testing.histories.world import ground

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.xdist_group("histories"),  # groups run first: these tests take longest
]

# acts of a history, histories; 200 in a nightly run, where `make soak` adds thousands
COUNTS = [(12, 15), (30, 3)]
if engine() == "sqlite":
    COUNTS = [(12, 57), (30, 3)]
    COUNTS += [pytest.param(*more, marks=pytest.mark.nightly) for more in ((12, 190), (30, 10))]


@pytest.fixture
def prepared() -> Iterator[Path]:
    with ground() as folder:
        yield folder


@pytest.mark.parametrize(("slots", "count"), COUNTS)
def test_after_any_history_the_books_hold(prepared: Path, slots: int, count: int) -> None:
    live_many(prepared, slots=slots, count=count)


def test_a_refund_that_waited_is_owed_since_it_began_though_its_money_moved_before_we_heard_of_it(
    prepared: Path,
) -> None:
    live(
        prepared,
        [
            Place(((0, 11_000, 1),)),
            TakeVoucher(),
            PayVoucher(),
            Deliver(),
            AnswerLost(Refund()),
            AnswerRefund("account"),
            Wait(60),
            WaitForMidnight(),
        ],
    )


def test_the_close_asks_about_a_refund_of_which_no_webhook_told_and_no_money_has_moved(
    prepared: Path,
) -> None:
    paid: list[Act] = [Place(((0, 11_000, 1),)), TakeVoucher(), PayVoucher(), Deliver()]
    night = WaitForMidnight(3_600)
    live(prepared, [*paid, RefundAtStripe(500), night, Close()])  # its events come late
    live(prepared, [*paid, RefundAtStripe(500), Lose(), Lose(), night, Close()])  # they never come
    live(prepared, [*paid, Refund(), AnswerRefund("silence"), night, Close()])  # that it failed is not known


def test_a_refund_that_is_booked_before_its_charge_finds_its_order(prepared: Path) -> None:
    live(prepared, [Place(((0, 11_000, 1),)), Pay(late=True), RefundAtStripe(), Close()])
