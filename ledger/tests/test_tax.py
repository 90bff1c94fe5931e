"""Tax, the spreading of a discount, and what an order comes to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.books.tax import piecewise, spread, tax_of, totals

YEN = st.integers(0, 99_999_999)


def test_the_worked_order_comes_to_12130() -> None:
    order = totals([(11_000, 10), (1_080, 8)], discount=500, shipping_fee=550)
    assert order.line_discounts == (455, 45)
    assert order.pots == {10: 11_095, 8: 1_035}
    assert order.taxes == {10: 1_008, 8: 76}
    assert (order.goods_total, order.discount, order.shipping_fee, order.total) == (12_080, 500, 550, 12_130)


def test_tax_is_rounded_down_once_per_rate_and_not_per_line() -> None:
    order = totals([(109, 10), (109, 10), (109, 10)], discount=0, shipping_fee=0)
    assert order.taxes == {10: 29}  # three lines rounded apart would give 27


def test_the_shipping_fee_is_taxed_at_10_percent_with_reduced_goods_too() -> None:
    order = totals([(1_080, 8)], discount=0, shipping_fee=550)
    assert order.pots == {10: 550, 8: 1_080}


def test_a_rate_that_does_not_occur_has_no_pot() -> None:
    assert totals([(1_100, 10)], discount=0, shipping_fee=0).pots == {10: 1_100}


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
def test_it_refuses_what_can_not_be(lines: list[tuple[int, int]], discount: int, shipping_fee: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        totals(lines, discount=discount, shipping_fee=shipping_fee)


def test_an_amount_without_anything_to_carry_it_is_refused() -> None:
    with pytest.raises(ValueError, match="carries"):
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
def test_pots_and_lines_add_up_to_the_charge(
    lines: list[tuple[int, int]], shipping_fee: int, data: st.DataObject
) -> None:
    goods = sum(amount for amount, _ in lines)
    discount = data.draw(st.integers(0, goods))
    order = totals(lines, discount=discount, shipping_fee=shipping_fee)
    assert sum(order.pots.values()) == order.total == goods - discount + shipping_fee
    assert sum(order.line_discounts) == discount
    assert all(order.taxes[rate] == tax_of(gross, rate) for rate, gross in order.pots.items())


@given(YEN, st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_pieces_taken_in_any_parts_are_worth_the_line_together(total: int, parts: list[int]) -> None:
    quantity = sum(parts)
    taken = 0
    worth = []
    for part in parts:
        worth.append(piecewise(total, quantity, taken, part))
        taken += part
    assert sum(worth) == total
    assert min(worth) >= 0


def test_more_pieces_than_the_line_has_are_refused() -> None:
    with pytest.raises(ValueError, match="Pieces"):
        piecewise(100, 3, 2, 2)
