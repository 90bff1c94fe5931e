"""Consumption tax, the division of a discount, and the totals of an order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.books.tax import spread, tax_of, totals, value_of_pieces

YEN = st.integers(0, 99_999_999)


def test_the_total_of_the_worked_order_is_12130() -> None:
    order = totals([(11_000, 10), (1_080, 8)], discount=500, shipping_fee=550)
    assert order.line_discounts == (455, 45)
    assert order.gross_by_rate == {10: 11_095, 8: 1_035}
    assert order.taxes == {10: 1_008, 8: 76}
    assert (order.goods_total, order.discount, order.shipping_fee, order.total) == (12_080, 500, 550, 12_130)


def test_tax_is_rounded_down_once_per_rate_and_not_per_line() -> None:
    order = totals([(109, 10), (109, 10), (109, 10)], discount=0, shipping_fee=0)
    assert order.taxes == {10: 29}  # three lines rounded one by one would give 27


def test_the_shipping_fee_is_taxed_at_10_percent_with_reduced_goods_too() -> None:
    order = totals([(1_080, 8)], discount=0, shipping_fee=550)
    assert order.gross_by_rate == {10: 550, 8: 1_080}


def test_a_rate_that_does_not_occur_has_no_gross_amount() -> None:
    assert totals([(1_100, 10)], discount=0, shipping_fee=0).gross_by_rate == {10: 1_100}


@pytest.mark.parametrize(
    ("lines", "discount", "shipping_fee"),
    [
        ([(100, 10)], 101, 0),
        ([(100, 10)], -1, 0),
        ([(100, 10)], 0, -1),
        ([(100, 5)], 0, 0),
        ([(-1, 10)], 0, 0),
    ],
)
def test_impossible_amounts_and_rates_are_refused(
    lines: list[tuple[int, int]], discount: int, shipping_fee: int
) -> None:
    with pytest.raises(ValueError, match=r"."):
        totals(lines, discount=discount, shipping_fee=shipping_fee)


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


@given(
    st.lists(st.tuples(st.integers(0, 1_000_000), st.sampled_from([10, 8])), max_size=12),
    st.integers(0, 2_000),
    st.data(),
)
def test_rates_and_lines_add_up_to_the_charge(
    lines: list[tuple[int, int]], shipping_fee: int, data: st.DataObject
) -> None:
    goods = sum(amount for amount, _ in lines)
    discount = data.draw(st.integers(0, goods))
    order = totals(lines, discount=discount, shipping_fee=shipping_fee)
    assert sum(order.gross_by_rate.values()) == order.total == goods - discount + shipping_fee
    assert sum(order.line_discounts) == discount
    assert all(order.taxes[rate] == tax_of(gross, rate) for rate, gross in order.gross_by_rate.items())


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
