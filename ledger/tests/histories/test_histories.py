"""After any history the books are correct. `make soak` checks ten thousand histories."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kikaku.testing.database import engine
from ledger.sales.refunds import Side
from ledger.testing.histories.actions import Action
from ledger.testing.histories.at_stripe import Deliver, LoseEvent, OpenSecondPage, RefundAtStripe
from ledger.testing.histories.customers import AnswerRefund, Cancel, ChooseKonbini, Pay, PayVoucher, Place
from ledger.testing.histories.faults import AnswerLost, PaymentUnknown, PowerCut
from ledger.testing.histories.foreign import CloseAhead, ForeignCharge, ForeignKey, ForgeEntry, HoldReserve
from ledger.testing.histories.runner import check_history, check_random_histories
from ledger.testing.histories.staff import Refund, RefundOnOldPage, Ship
from ledger.testing.histories.time_and_jobs import Close, Run, Wait, WaitForMidnight
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


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([RefundAtStripe(), Deliver(), Ship()], id="the whole money goes back in the dashboard"),
        pytest.param([Refund(thousandths=1000), Ship()], id="the whole money goes back as an amount"),
        pytest.param(
            [Ship(pieces=(1,)), RefundAtStripe(), Deliver(), Ship(), Cancel()], id="the rest is cancelled"
        ),
        pytest.param(
            [Ship(pieces=(1,)), RefundAtStripe(), Deliver(), Ship(pieces=(1,), gift=True), Ship(gift=True)],
            id="the rest is a gift",
        ),
        pytest.param(
            [OpenSecondPage(), Pay(), Pay(), Deliver(), RefundAtStripe(), Deliver(), Run(), Ship()],
            id="the second payment goes back in the dashboard",
        ),
        pytest.param([RefundAtStripe(500), Refund(), Deliver(), Ship()], id="a refund is refused"),
    ],
)
def test_money_that_goes_back_before_its_goods_leave_nothing_behind(
    template_folder: Path, history: list[Action]
) -> None:
    order = Place(((0, 11_000, 3), (2, 1_080, 2)), shipping_fee=500)
    paid = [] if isinstance(history[0], OpenSecondPage) else [Pay()]
    check_history(template_folder, [order, *paid, Deliver(), *history])


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([Refund(thousandths=500), Ship(), AnswerRefund("given up")], id="shipped meanwhile"),
        pytest.param(
            [Refund(thousandths=500), AnswerRefund("given up"), Deliver(), Ship()], id="shipped later"
        ),
        pytest.param(
            [Refund(cancel=(1,)), AnswerRefund("given up"), Deliver(), Ship(), Refund(thousandths=100)],
            id="pieces were released",
        ),
        pytest.param([Refund(), AnswerRefund("given up"), Deliver(), Refund()], id="the order had ended"),
        pytest.param(
            [
                Refund(thousandths=900),
                Ship(pieces=(1,)),
                AnswerRefund("given up"),
                Deliver(),
                Refund(cancel=(2, 2)),
            ],
            id="a part was shipped meanwhile and the rest is refunded",
        ),
        pytest.param(
            [
                Ship(pieces=(2,)),
                Refund(returns=(1,), restock=True),
                Refund(thousandths=7, side=Side.SHIPPED),
                AnswerRefund("given up", refund=1),
                Deliver(),
                Close(),
                Refund(thousandths=300, side=Side.UNSHIPPED),
            ],
            id="pieces came back",
        ),
        pytest.param(
            [
                PaymentUnknown(Refund(restock=True)),
                Refund(thousandths=342),
                RefundAtStripe(thousandths=246),
                AnswerRefund("given up", refund=1),
                Refund(),  # reserves what is left, also what the dashboard took
            ],
            id="a refund in the dashboard used its money",
        ),
    ],
)
def test_a_refund_that_is_cancelled_before_its_money_moved_is_taken_back(
    template_folder: Path, history: list[Action]
) -> None:
    order = Place(((0, 11_000, 3), (2, 1_080, 2)), shipping_fee=500)
    check_history(template_folder, [order, ChooseKonbini(), PayVoucher(), Deliver(), *history])


@pytest.mark.parametrize(
    "history",
    [
        pytest.param(
            [RefundOnOldPage(Ship(), Refund(cancel=(1, 1)))], id="shipped since the page was opened"
        ),
        pytest.param([RefundOnOldPage(Wait(60), Refund(cancel=(1,)))], id="nothing changed"),
        pytest.param([RefundOnOldPage(Cancel(), Refund())], id="cancelled since the page was opened"),
        pytest.param(
            [PaymentUnknown(Refund(thousandths=300)), Refund(thousandths=300), Ship()],
            id="of a payment that Stripe does not know, then once more",
        ),
    ],
)
def test_a_refund_is_done_as_it_was_shown_and_each_of_them_ends(
    template_folder: Path, history: list[Action]
) -> None:
    order = Place(((0, 11_000, 3), (2, 1_080, 2)), shipping_fee=500)
    check_history(template_folder, [order, Pay(), Deliver(), *history])


@pytest.mark.parametrize("step", range(4, 12))  # from the sending to the commit that stores it
def test_a_mail_is_sent_twice_only_after_a_power_cut_before_it_was_stored_as_sent(
    template_folder: Path, step: int
) -> None:
    history: list[Action] = [Place(((0, 11_000, 1),)), ChooseKonbini(), Deliver(), PowerCut(Run(), step=step)]
    check_history(template_folder, history)


def test_a_refund_that_is_posted_after_one_of_a_later_day_is_rounded_after_it(template_folder: Path) -> None:
    check_history(
        template_folder,
        [
            Place(((1, 60, 1), (2, 11_000, 2), (0, 11_000, 4)), discount=500),
            Pay(),
            Deliver(),
            Ship(),
            Refund(thousandths=1),  # not heard of before the next one, which fails and is posted first
            Wait(86_400),
            PaymentUnknown(Refund()),
        ],
    )


def test_a_parcel_of_a_past_day_is_a_sale_of_that_day_whether_it_is_open_or_closed(
    template_folder: Path,
) -> None:
    check_history(
        template_folder,
        [
            Place(((0, 333, 4), (2, 60, 3)), shipping_fee=500, discount=1),
            Pay(),
            Deliver(),
            Wait(86_400),
            Ship(pieces=(1, 1)),
            Ship(pieces=(1, 1), days_ago=1),  # rounded after the parcel of a later day
            Ship(pieces=(1,), days_ago=3),  # before the payment: refused
            Refund(thousandths=200),
            Wait(86_400),
            Close(),
            Ship(pieces=(1,), days_ago=2),  # of a closed day
            Ship(days_ago=-1),  # in the future: refused
            Ship(days_ago=1, clicks=2),
            Refund(),
        ],
    )


def test_goods_of_a_rate_that_was_refunded_bring_no_sale_though_the_order_has_money(
    template_folder: Path,
) -> None:
    check_history(
        template_folder,
        [
            Place(((2, 1, 3), (1, 60, 4), (3, 333, 4)), shipping_fee=500, discount=500),
            Pay(),
            Deliver(),
            Refund(thousandths=500),
            Refund(cancel=(2, 0, 0), shipping=True),  # nothing is left of 10 %
            Ship(pieces=(2, 2)),
        ],
    )


def test_acts_of_others_leave_the_books_right(template_folder: Path) -> None:
    check_history(
        template_folder,
        [
            Place(((3, 150_000, 4), (2, 1, 2)), shipping_fee=500),
            Pay(card="3566002020360505"),
            Deliver(),
            ForeignCharge("dollars"),
            ForeignCharge("authorised"),
            ForeignCharge("yen"),
            HoldReserve(),
            Deliver(),
            ForgeEntry(),
            CloseAhead(),
            WaitForMidnight(3_600),
            ForeignKey(Close()),
            Close(),
            HoldReserve(),
            ForgeEntry("entry", "reversal"),
        ],
    )
