"""The quote: priced by the catalogue alone, tax once per rate, problems that say what to do."""

from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from shop.cart import CartLine
from shop.quote import Offer, ProblemKind, make_quote


def offer(sku: str, *, price: int = 1_000, rate: int = 10, available: int = 10) -> Offer:
    """Make what the catalogue says about a SKU."""
    return Offer(1, sku, f"灯り {sku}", "", f"/products/{sku}/", None, price, rate, available)


offers = st.builds(
    offer,
    st.sampled_from([f"S{n}" for n in range(8)]),
    price=st.integers(1, 200_000),
    rate=st.sampled_from([8, 10]),
    available=st.integers(0, 60),
)
carts = st.lists(
    st.builds(
        CartLine,
        st.sampled_from([f"S{n}" for n in range(10)]),
        st.integers(1, 60),
        st.integers(1, 200_000),
    ),
    max_size=8,
    unique_by=lambda line: line.sku,
)


@given(carts, st.lists(offers, max_size=8, unique_by=lambda o: o.sku), st.integers(0, 50_000))
def test_the_totals_add_up_for_every_cart(
    wanted: list[CartLine], on_sale: list[Offer], discount: int
) -> None:
    priced = make_quote(wanted, {o.sku: o for o in on_sale}, discount=discount)
    totals = priced.totals
    assert totals.goods_total == sum(line.amount for line in priced.counted_lines)
    assert totals.discount == min(discount, totals.goods_total)
    assert sum(totals.line_discounts) == totals.discount
    assert totals.total == totals.goods_total - totals.discount + totals.shipping_fee
    assert sum(totals.gross_by_rate.values()) == totals.total
    for rate, gross, tax in priced.taxes:
        assert tax == gross * rate // (100 + rate)
    if priced.is_orderable:
        assert all(line.quantity <= line.offer.available for line in priced.lines)
        assert len(priced.lines) == len(wanted)
        assert 50 <= totals.total <= 99_999_999


@given(carts, st.lists(offers, max_size=8, unique_by=lambda o: o.sku))
def test_the_fingerprint_stands_for_what_is_paid(wanted: list[CartLine], on_sale: list[Offer]) -> None:
    shelf = {o.sku: o for o in on_sale}
    first = make_quote(wanted, shelf)
    assert make_quote(wanted, dict(reversed(shelf.items()))).fingerprint == first.fingerprint
    for line in first.counted_lines:
        dearer = shelf | {line.offer.sku: offer(line.offer.sku, price=line.offer.price + 1, available=60)}
        assert make_quote(wanted, dearer).fingerprint != first.fingerprint


def test_shipping_is_free_from_the_limit_after_the_discount(settings: Settings) -> None:
    shelf = {"A": offer("A", price=5_000)}
    wanted = [CartLine("A", 1, 5_000)]
    assert make_quote(wanted, shelf).totals.shipping_fee == 0
    assert make_quote(wanted, shelf).missing_for_free_shipping == 0
    reduced = make_quote(wanted, shelf, discount=1)
    assert reduced.totals.shipping_fee == settings.SHIPPING_FEE
    assert reduced.missing_for_free_shipping == 1


def test_the_tax_is_rounded_once_per_rate_and_shipping_carries_ten_percent() -> None:
    shelf = {"A": offer("A", price=105), "B": offer("B", price=105), "C": offer("C", price=107, rate=8)}
    priced = make_quote([CartLine(sku, 1, shelf[sku].price) for sku in shelf], shelf)
    assert priced.taxes == [(10, 710, 64), (8, 107, 7)]  # per line it would be 9 + 9 + 45


def test_problems_name_the_item_and_only_a_changed_price_lets_one_go_on() -> None:
    shelf = {
        "out": offer("out", available=0),
        "few": offer("few", available=2),
        "dear": offer("dear", price=900),
    }
    wanted = [
        CartLine("gone", 1, 10),
        CartLine("out", 1, 1_000),
        CartLine("few", 3, 1_000),
        CartLine("dear", 1, 1_000),
    ]
    priced = make_quote(wanted, shelf)
    assert [(problem.kind, problem.sku, problem.blocks_order) for problem in priced.problems] == [
        (ProblemKind.UNKNOWN, "gone", True),
        (ProblemKind.SOLD_OUT, "out", True),
        (ProblemKind.TOO_MANY, "few", True),
        (ProblemKind.PRICE_CHANGED, "dear", False),
    ]
    assert not priced.is_orderable
    assert make_quote(wanted[3:], shelf).is_orderable


def test_what_is_not_there_in_such_numbers_is_said_instead_of_a_limit_of_the_card() -> None:
    shelf = {"S1": offer("S1", price=20_000)}
    kinds = [problem.kind for problem in make_quote([CartLine("S1", 9_999, 20_000)], shelf).problems]
    assert kinds == [ProblemKind.TOO_MANY]
    plenty = {"S1": offer("S1", price=20_000, available=9_999)}
    kinds = [problem.kind for problem in make_quote([CartLine("S1", 9_999, 20_000)], plenty).problems]
    assert kinds == [ProblemKind.ABOVE_MAXIMUM]


def test_an_empty_cart_costs_nothing_and_can_not_be_ordered() -> None:
    priced = make_quote([], {})
    assert priced.totals.total == 0
    assert not priced.is_orderable
    assert not priced.problems
