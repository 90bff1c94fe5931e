"""Facts become entries: the worked order to the yen, and what must hold for any."""

from collections.abc import Iterable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.books import journal, posting
from ledger.books.posting import Change, Line, RefundPart
from ledger.books.pots import Pot, recognise, reverse, take
from ledger.books.tax import tax_of, totals

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
ORDER = totals([(11_000, 10), (1_080, 8)], discount=500, shipping_fee=550)


def change(amount: int, fee: int = 0, fee_tax: int = 0) -> Change:
    """Make a change of Stripe's balance."""
    return Change(id="txn_1", amount=amount, fee=fee, fee_tax=fee_tax, occurred_at=NOW)


def sides(lines: Iterable[Line]) -> tuple[dict[str, int], dict[str, int]]:
    """Give the debits and the credits of an entry by account."""
    debits: dict[str, int] = {}
    credits: dict[str, int] = {}
    for line in lines:
        side, amount = (debits, line.debit) if line.debit else (credits, line.credit)
        side[line.account] = side.get(line.account, 0) + amount
    return debits, credits


def shipped() -> tuple[dict[int, Pot], posting.Draft]:
    """Ship the worked order whole."""
    pots, parts = {}, []
    for rate, goods, shipping in ((10, 10_545, 550), (8, 1_035, 0)):
        pots[rate], part = recognise(
            Pot(rate=rate, gross=ORDER.pots[rate]), goods=goods, shipping=shipping, last=True
        )
        parts.append(part)
    return pots, posting.shipment("1", occurred_at=NOW, order_id=1, reference="K1", parts=parts)


def refunded(pots: dict[int, Pot], amounts: dict[int, int]) -> tuple[dict[int, Pot], posting.Draft]:
    """Refund amounts after shipment."""
    parts = []
    for rate, amount in amounts.items():
        pots[rate], tax = reverse(pots[rate], amount)
        parts.append(RefundPart(rate=rate, recognised=amount, tax=tax))
    draft = posting.refund(change(-sum(amounts.values())), order_id=1, reference="K1", parts=parts)
    return pots, draft


def test_a_visa_payment_is_a_prepayment_and_its_fee_is_exempt() -> None:
    draft = posting.capture(change(12_130, 437), order_id=1, reference="K1")
    assert draft.lines == (
        Line("1150", debit=12_130),
        Line("2130", credit=12_130),
        Line("6110", debit=437),
        Line("1150", credit=437),
    )


def test_a_jcb_fee_is_split_by_the_tax_in_its_details() -> None:
    draft = posting.capture(change(12_130, 481, 44), order_id=1, reference="K1")
    assert sides(draft.lines) == (
        {"1150": 12_130, "6111": 437, "1410": 44},
        {"2130": 12_130, "1150": 481},
    )


def test_the_shipped_worked_order_is_recognised_per_rate() -> None:
    _pots, draft = shipped()
    assert sides(draft.lines) == (
        {"2130": 12_130},
        {"4110": 9_587, "4120": 500, "2150": 1_008, "4111": 959, "2151": 76},
    )


def test_a_refund_before_shipment_carries_no_tax() -> None:
    draft = posting.refund(
        change(-3_000), order_id=1, reference="K1", parts=[RefundPart(rate=10, prepaid=3_000)]
    )
    assert draft.lines == (Line("2130", debit=3_000), Line("1150", credit=3_000))


def test_a_full_refund_after_shipment_takes_everything_back() -> None:
    pots, _draft = shipped()
    _pots, draft = refunded(pots, {10: 11_095, 8: 1_035})
    assert sides(draft.lines) == (
        {"4190": 10_087, "2150": 1_008, "4191": 959, "2151": 76},
        {"1150": 12_130},
    )


def test_a_partial_refund_and_the_remaining_yen_end_at_zero() -> None:
    pots, _draft = shipped()
    pots, first = refunded(pots, {10: 3_000})
    assert sides(first.lines) == ({"4190": 2_728, "2150": 272}, {"1150": 3_000})
    pots, second = refunded(pots, {10: 8_095})
    assert sides(second.lines) == ({"4190": 7_359, "2150": 736}, {"1150": 8_095})
    assert pots[10].tax_reversed == pots[10].tax == 1_008


def test_a_refund_that_failed_after_money_moved_is_owed() -> None:
    draft = posting.refund_failure(change(3_000), order_id=1, reference="K1")
    assert draft.lines == (Line("1150", debit=3_000), Line("2120", credit=3_000))


@pytest.mark.parametrize("purpose", [posting.WAITING, posting.FAILED])
def test_a_refund_that_waits_or_failed_before_money_moved_is_owed_without_touching_1150(purpose: str) -> None:
    draft = posting.unpaid_refund(
        "7",
        purpose,
        occurred_at=NOW,
        order_id=1,
        reference="K1",
        parts=[RefundPart(rate=10, prepaid=1_000, recognised=3_000, tax=272)],
    )
    assert sides(draft.lines) == ({"2130": 1_000, "4190": 2_728, "2150": 272}, {"2120": 4_000})


def test_what_is_owed_is_paid_out_of_refunds_payable() -> None:
    draft = posting.refund(
        change(-3_000), order_id=1, reference="K1", parts=[RefundPart(rate=None, payable=3_000)]
    )
    assert draft.lines == (Line("2120", debit=3_000), Line("1150", credit=3_000))


def test_an_unknown_change_goes_to_suspense_with_its_fee_apart() -> None:
    draft = posting.suspense(change(-1_000, 15), order_id=None, reference="adjustment")
    assert sides(draft.lines) == ({"9990": 1_000, "6110": 15}, {"1150": 1_015})


def test_a_fee_that_is_given_back_is_a_negative_expense() -> None:
    draft = posting.suspense(change(0, -15), order_id=None, reference="adjustment")
    assert sides(draft.lines) == ({"1150": 15}, {"6110": 15})


def test_lines_of_zero_are_left_out() -> None:
    assert [line.account for line in posting.capture(change(100), order_id=1, reference="K1").lines] == [
        "1150",
        "2130",
    ]


def test_a_reversal_turns_the_sides_around() -> None:
    lines = (Line("1150", debit=5), Line("2130", credit=5))
    draft = posting.reversal("3", occurred_at=NOW, order_id=1, description="入金 K1", lines=lines)
    assert draft.lines == (Line("1150", credit=5), Line("2130", debit=5))
    assert (draft.source_type, draft.source_id, draft.purpose) == ("entry", "3", "reversal")


def test_the_shipping_fee_carries_its_own_floor_and_the_goods_the_rest_of_the_tax() -> None:
    # 11 of goods and 10 of shipping: the pot has tax 1, shipping alone none
    _pot, part = recognise(Pot(rate=10, gross=21), goods=11, shipping=10, last=True)
    assert (part.goods, part.shipping, part.tax) == (10, 10, 1)


def test_what_is_not_recognised_can_not_be_reversed() -> None:
    with pytest.raises(ValueError, match="exceeds"):
        reverse(Pot(rate=10, gross=100, recognised=50, tax=4), 51)


def test_a_refund_takes_from_the_other_side_what_one_side_lacks() -> None:
    pot = Pot(rate=10, gross=1_000, recognised=600, tax=54)
    assert take(pot, prepaid=500, recognised=0)[1:] == (400, 100)
    assert take(pot, prepaid=0, recognised=700)[1:] == (100, 600)
    assert take(pot, prepaid=900, recognised=900)[1:] == (400, 600)


MONEY = st.integers(1, 5_000_000)


@given(
    MONEY,
    st.lists(st.tuples(st.booleans(), st.integers(1, 1_000_000)), max_size=12),
    st.sampled_from([10, 8]),
)
def test_any_parcels_and_refunds_of_a_pot_keep_its_tax_within_bounds_and_end_at_zero(
    gross: int, steps: list[tuple[bool, int]], rate: int
) -> None:
    pot = Pot(rate=rate, gross=gross)
    for ships, amount in steps:
        if ships:
            pot, part = recognise(pot, goods=amount, shipping=0, last=False)
            assert min(part.goods, part.tax) >= 0
        else:
            before = min(amount, pot.prepaid_left)
            pot, _before, after = take(pot, prepaid=before, recognised=0)
            assert after == 0
            pot, tax = reverse(pot, min(amount - before, pot.recognised_left))
            assert tax >= 0
        assert 0 <= pot.tax_reversed <= pot.tax == tax_of(pot.recognised, rate)
        assert pot.prepaid_left >= 0
    pot, _part = recognise(pot, goods=0, shipping=0, last=True)
    assert pot.prepaid_left == 0
    pot, _tax = reverse(pot, pot.recognised_left)
    assert pot.tax_reversed == pot.tax


@given(
    st.integers(-1_000_000, 1_000_000),
    st.integers(0, 50_000),
    st.booleans(),
    st.sampled_from(["capture", "failure", "suspense", "unknown"]),
)
def test_every_draft_of_a_transaction_balances_and_moves_1150_by_its_net(
    amount: int, fee: int, taxable: bool, kind: str
) -> None:
    fact = change(amount, fee, fee // 11 if taxable else 0)
    draft = {
        "capture": lambda: posting.capture(fact, order_id=1, reference="K1"),
        "failure": lambda: posting.refund_failure(fact, order_id=1, reference="K1"),
        "suspense": lambda: posting.suspense(fact, order_id=1, reference="K1"),
        "unknown": lambda: posting.unknown_refund(fact, reference="re_1"),
    }[kind]()
    if amount or fee:
        journal.check(draft)
    assert journal.movement(draft.lines, "1150") == amount - fee
