"""After any history the books are correct. `make soak` checks ten thousand histories."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kikaku.testing.database import engine
from ledger.testing.histories.actions import (
    Action,
    AnswerLost,
    AnswerRefund,
    ChooseKonbini,
    Close,
    Deliver,
    LoseEvent,
    Pay,
    PayVoucher,
    Place,
    Refund,
    RefundAtStripe,
    Wait,
    WaitForMidnight,
)
from ledger.testing.histories.runner import check_history, check_random_histories
from ledger.testing.histories.world import prepared_template

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.xdist_group("histories"),  # groups run first: these tests take longest
]

# actions of a history, histories; 200 in a nightly run, where `make soak` adds thousands
COUNTS: list[Any] = [(12, 10), (30, 2)]
if engine() == "sqlite":
    COUNTS = [(12, 20), (30, 2)]
    COUNTS += [pytest.param(*more, marks=pytest.mark.nightly) for more in ((12, 190), (30, 10))]


@pytest.fixture
def template_folder() -> Iterator[Path]:
    with prepared_template() as folder:
        yield folder


@pytest.mark.parametrize(("max_actions", "count"), COUNTS)
def test_after_any_history_the_books_are_correct(template_folder: Path, max_actions: int, count: int) -> None:
    check_random_histories(template_folder, max_actions=max_actions, count=count)


def test_a_refund_whose_money_moved_before_its_event_is_owed_since_its_request(
    template_folder: Path,
) -> None:
    check_history(
        template_folder,
        [
            Place(((0, 11_000, 1),)),
            ChooseKonbini(),
            PayVoucher(),
            Deliver(),
            AnswerLost(Refund()),
            AnswerRefund("account"),
            Wait(60),
            WaitForMidnight(),
        ],
    )


def test_the_close_fetches_a_refund_without_webhook_and_balance_transaction(
    template_folder: Path,
) -> None:
    paid: list[Action] = [Place(((0, 11_000, 1),)), ChooseKonbini(), PayVoucher(), Deliver()]
    after_midnight = WaitForMidnight(3_600)
    check_history(template_folder, [*paid, RefundAtStripe(500), after_midnight, Close()])  # late events
    check_history(
        template_folder, [*paid, RefundAtStripe(500), LoseEvent(), LoseEvent(), after_midnight, Close()]
    )  # lost events
    check_history(
        template_folder, [*paid, Refund(), AnswerRefund("silence"), after_midnight, Close()]
    )  # unknown failure


def test_a_cancelled_refund_without_event_is_posted_on_the_day_on_which_the_close_finds_it(
    template_folder: Path,
) -> None:
    check_history(
        template_folder,
        [
            Place(((1, 150_000, 2),), discount=1),
            ChooseKonbini(),
            PayVoucher(),
            Close(),
            Refund(thousandths=2),
            AnswerRefund("given up"),
            RefundAtStripe(),
            LoseEvent(2),
        ],
    )


def test_a_refund_booked_before_its_charge_is_posted_to_its_order(template_folder: Path) -> None:
    check_history(template_folder, [Place(((0, 11_000, 1),)), Pay(late=True), RefundAtStripe(), Close()])
