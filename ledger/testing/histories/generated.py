"""Generated histories: which actions Hypothesis draws, how often, and with which values."""

from hypothesis import strategies as st

from kikaku.sandbox import CARDS
from ledger.sales.refunds import Side
from ledger.testing.histories.actions import Action
from ledger.testing.histories.at_stripe import (
    CompleteWithoutPayment,
    Deliver,
    ExpireVoucher,
    LoseEvent,
    OpenSecondPage,
    RefundAtStripe,
    RepeatEvent,
)
from ledger.testing.histories.customers import (
    AnswerRefund,
    Authenticate,
    Cancel,
    ChooseKonbini,
    Pay,
    PayVoucher,
    Place,
    ReturnToPay,
    ReturnToThanks,
)
from ledger.testing.histories.faults import (
    AnswerLost,
    DiskFull,
    NoMailServer,
    PaymentUnknown,
    PowerCut,
    StripeUnreachable,
)
from ledger.testing.histories.foreign import CloseAhead, ForeignCharge, ForeignKey, ForgeEntry, HoldReserve
from ledger.testing.histories.staff import (
    ChangeRate,
    ChangeStatus,
    ChangeStock,
    KeepMoney,
    Refund,
    RefundOnOldPage,
    Ship,
)
from ledger.testing.histories.time_and_jobs import Close, Run, Wait, WaitForMidnight
from ledger.testing.histories.world import JOBS

small_numbers = st.integers(0, 3)
pieces = st.lists(small_numbers, min_size=1, max_size=4).map(tuple)
days_ago = st.sampled_from([1, 1, 2, 3, -1])
clicks = st.sampled_from([1, 1, 1, 2])
thousandths = st.one_of(st.sampled_from([1000, 500, 1]), st.integers(1, 1100))
line = st.tuples(small_numbers, st.sampled_from([11_000, 1_080, 333, 60, 1, 0, 150_000]), st.integers(1, 4))
order = st.builds(
    Place,
    lines=st.lists(line, min_size=1, max_size=4).map(tuple),
    shipping_fee=st.sampled_from([0, 500]),
    discount=st.sampled_from([0, 0, 0, 1, 500]),
    clicks=clicks,
)
pay = st.builds(
    Pay, card=st.sampled_from(["4242424242424242", *CARDS]), page=small_numbers, late=st.booleans()
)
whole_refund = st.builds(Refund, order=small_numbers, clicks=clicks, restock=st.booleans())
part_refund = st.builds(
    Refund,
    thousandths=thousandths,
    side=st.sampled_from([None, Side.UNSHIPPED, Side.SHIPPED]),
    order=small_numbers,
)
cancel_pieces = st.builds(Refund, cancel=pieces, shipping=st.booleans(), order=small_numbers)
return_pieces = st.builds(
    Refund,
    returns=pieces,
    cancel=st.just(()) | pieces,
    shipping=st.booleans(),
    restock=st.booleans(),
    order=small_numbers,
)
refund = st.one_of(whole_refund, part_refund, cancel_pieces, return_pieces)
keep = st.builds(KeepMoney, thousandths=st.sampled_from([0, 0, 1, 500]), order=small_numbers, clicks=clicks)
actions_of_people = st.one_of(
    order,
    pay,
    pay,
    st.builds(ReturnToPay, order=small_numbers),
    st.builds(OpenSecondPage, page=small_numbers),
    st.builds(Authenticate, succeeds=st.booleans(), page=small_numbers),
    st.builds(ChooseKonbini, page=small_numbers),
    st.builds(ChooseKonbini, page=small_numbers),
    st.builds(
        CompleteWithoutPayment,
        status=st.sampled_from(["paid", "no_payment_required"]),
        page=small_numbers,
    ),
    st.builds(ReturnToThanks, order=small_numbers),
    st.builds(PayVoucher, voucher=small_numbers),
    st.builds(ExpireVoucher, voucher=small_numbers),
    st.builds(
        AnswerRefund,
        answer=st.sampled_from(["account", "wrong account", "silence", "given up"]),
        refund=small_numbers,
    ),
    st.builds(Cancel, order=small_numbers, by_customer=st.booleans(), fee=st.sampled_from([0, 0, 300, 1000])),
    st.builds(Ship, order=small_numbers, clicks=clicks),
    st.builds(Ship, pieces=pieces, order=small_numbers, gift=st.booleans()),
    st.builds(Ship, pieces=st.just(()) | pieces, order=small_numbers, days_ago=days_ago),
    whole_refund,
    part_refund,
    cancel_pieces,
    return_pieces,
    keep,
    keep,
    st.builds(RefundAtStripe, thousandths=thousandths, charge=small_numbers),
    st.builds(
        ChangeStatus,
        exempt=st.booleans(),
        rounding=st.sampled_from(["down", "nearest", "up"]),
        fiscal_year_end=st.sampled_from([3, 11, 12]),
    ),
    st.builds(
        ChangeRate, percent=st.sampled_from([0, 5, 12]), tax_class=st.sampled_from(["standard", "reduced"])
    ),
    st.builds(ChangeStock, delta=st.sampled_from([5, -1, -3]), item=small_numbers),
)
actions_of_machines = st.one_of(
    st.builds(Deliver),
    st.builds(Deliver),
    st.builds(Deliver, picks=st.lists(st.integers(0, 9), min_size=1, max_size=8).map(tuple)),
    st.builds(RepeatEvent, event=st.integers(0, 9)),
    st.builds(Run),
    st.builds(Run, jobs=st.lists(st.sampled_from(list(JOBS)), min_size=1, max_size=3).map(tuple)),
    st.builds(Close),
)
time = st.one_of(
    st.builds(Wait, seconds=st.sampled_from([5, 60, 180, 660, 2_400, 7_200, 36_000, 86_400, 345_600])),
    st.builds(WaitForMidnight, seconds=st.sampled_from([-1, 0, 1, 3_600])),
)
without_faults = st.one_of(actions_of_people, actions_of_people, actions_of_machines, time)
action = actions_of_people | actions_of_machines
fault = st.one_of(
    st.builds(RefundOnOldPage, action=action, refund=refund),
    st.builds(PaymentUnknown, action=refund),
    st.builds(PowerCut, action=action, step=st.integers(0, 40)),
    st.builds(StripeUnreachable, action=action, request=small_numbers),
    st.builds(AnswerLost, action=action, request=small_numbers),
    st.builds(DiskFull, action=st.just(Close()), file=small_numbers),
    st.builds(NoMailServer, action=st.builds(Run)),
    st.builds(ForeignKey, action=action),
    st.builds(CloseAhead, days=st.sampled_from([1, 2, 30])),
    st.builds(ForeignCharge, kind=st.sampled_from(["yen", "dollars", "authorised"])),
    st.builds(HoldReserve, amount=st.sampled_from([1, 3_000])),
    st.sampled_from(
        [ForgeEntry(), ForgeEntry("refund", "failed"), ForgeEntry("entry", "reversal"), ForgeEntry("x", "y")]
    ),
    st.builds(LoseEvent, event=small_numbers),
)


# of a history: states of an order that single acts would seldom lead to
beginnings = st.one_of(
    st.tuples(order, pay | st.builds(ChooseKonbini), st.just(Deliver())),
    st.tuples(order, st.just(Pay()), st.just(Deliver()), st.builds(Ship, pieces=pieces)),
    st.tuples(order, *map(st.just, (OpenSecondPage(), Pay(), Pay(), Deliver()))),  # paid twice
    st.tuples(order, *map(st.just, (ChooseKonbini(), PayVoucher(), Deliver())), refund),  # which waits
    st.tuples(
        order,
        *map(st.just, (ChooseKonbini(), PayVoucher(), Deliver())),
        refund,
        *map(st.just, (AnswerRefund("given up"), Deliver())),  # whose money is to be decided about
        keep,
    ),
)


@st.composite
def histories(draw: st.DrawFn, max_actions: int) -> list[Action]:
    """Draw a history of at most so many actions after a first sale; a third of them have no faults."""
    with_faults = draw(st.sampled_from([True, True, False]))
    actions = st.one_of(without_faults, without_faults, fault) if with_faults else without_faults
    # an action that does not matter shrinks to None
    rest = draw(st.lists(st.none() | actions, min_size=max_actions, max_size=max_actions))
    return [*draw(beginnings), *(action for action in rest if action is not None)]
