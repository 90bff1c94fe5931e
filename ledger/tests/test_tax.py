"""Consumption tax, the division of a discount, and the totals of an order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kikaku.money import REDUCED, STANDARD
from ledger.books.tax import spread, tax_of, totals, value_of_pieces

YEN = st.integers(0, 99_999_999)
RATES = {STANDARD: 10, REDUCED: 8}


def test_the_total_of_the_worked_order_is_12130() -> None:
    order = totals([(11_000, STANDARD), (1_080, REDUCED)], discount=500, shipping_fee=550, rates=RATES)
    assert order.line_discounts == (455, 45)
    assert order.gross_by_class == {STANDARD: 11_095, REDUCED: 1_035}
    assert order.taxes == {STANDARD: 1_008, REDUCED: 76}
    assert (order.goods_total, order.discount, order.shipping_fee, order.total) == (12_080, 500, 550, 12_130)


def test_tax_is_rounded_down_once_per_rate_and_not_per_line() -> None:
    order = totals(
        [(109, STANDARD), (109, STANDARD), (109, STANDARD)], discount=0, shipping_fee=0, rates=RATES
    )
    assert order.taxes == {STANDARD: 29}  # three lines rounded one by one would give 27


def test_the_shipping_fee_has_the_standard_rate_with_reduced_goods_too() -> None:
    order = totals([(1_080, REDUCED)], discount=0, shipping_fee=550, rates=RATES)
    assert order.gross_by_class == {STANDARD: 550, REDUCED: 1_080}


def test_a_class_that_does_not_occur_has_no_gross_amount() -> None:
    assert totals([(1_100, STANDARD)], discount=0, shipping_fee=0, rates=RATES).gross_by_class == {
        STANDARD: 1_100
    }


@pytest.mark.parametrize(
    ("lines", "discount", "shipping_fee"),
    [
        ([(100, STANDARD)], 101, 0),
        ([(100, STANDARD)], -1, 0),
        ([(100, STANDARD)], 0, -1),
        ([(100, "luxury")], 0, 0),
        ([(-1, STANDARD)], 0, 0),
    ],
)
def test_impossible_amounts_and_classes_are_refused(
    lines: list[tuple[int, str]], discount: int, shipping_fee: int
) -> None:
    with pytest.raises(ValueError, match=r"."):
        totals(lines, discount=discount, shipping_fee=shipping_fee, rates=RATES)


def test_an_amount_cannot_be_spread_over_weights_of_zero() -> None:
    with pytest.raises(ValueError, match="all zero"):
        spread(1, [0, 0])


@given(st.lists(st.integers(0, 10_000_000), max_size=30), st.data())
def test_shares_sum_to_the_amount_and_never_exceed_their_weight(
    weights: list[int], data: st.DataObject
) -> None:
    amount = data.draw(st.integers(0, sum(weights)))
    shares = spread(amount, weights)
    assert sum(shares) == amount
    assert all(0 <= share <= weight for share, weight in zip(shares, weights, strict=True))


@given(YEN, st.sampled_from([10, 8]))
def test_tax_is_the_largest_that_its_net_amount_still_justifies(gross: int, rate: int) -> None:
    tax = tax_of(gross, rate)
    assert tax * (100 + rate) <= gross * rate < (tax + 1) * (100 + rate)


@given(YEN, st.sampled_from([10, 8, 12, 0]))
def test_the_three_roundings_lie_around_the_exact_tax(gross: int, rate: int) -> None:
    down, nearest, up = (tax_of(gross, rate, rounding) for rounding in ("down", "nearest", "up"))
    exact = gross * rate
    assert down * (100 + rate) <= exact <= up * (100 + rate) and up - down <= 1
    assert abs(2 * exact - 2 * nearest * (100 + rate)) <= 100 + rate
    assert tax_of(gross, None) == 0


@given(
    st.lists(st.tuples(st.integers(0, 1_000_000), st.sampled_from([STANDARD, REDUCED])), max_size=12),
    st.integers(0, 2_000),
    st.data(),
)
def test_classes_and_lines_add_up_to_the_charge(
    lines: list[tuple[int, str]], shipping_fee: int, data: st.DataObject
) -> None:
    goods = sum(amount for amount, _ in lines)
    discount = data.draw(st.integers(0, goods))
    order = totals(lines, discount=discount, shipping_fee=shipping_fee, rates=RATES)
    assert sum(order.gross_by_class.values()) == order.total == goods - discount + shipping_fee
    assert sum(order.line_discounts) == discount
    assert all(order.taxes[of] == tax_of(gross, RATES[of]) for of, gross in order.gross_by_class.items())


@given(YEN, st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_the_pieces_of_a_line_are_worth_its_total_however_they_are_divided(
    total: int, parts: list[int]
) -> None:
    quantity = sum(parts)
    taken = 0
    values = []
    for part in parts:
        values.append(value_of_pieces(total, quantity, taken, part))
        taken += part
    assert sum(values) == total
    assert min(values) >= 0


def test_more_pieces_than_the_line_has_are_refused() -> None:
    with pytest.raises(ValueError, match="Pieces"):
        value_of_pieces(100, 3, 2, 2)
