"""The quote: quote by the catalogue alone, tax rounded once for each rate, problems."""

from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from kikaku.money import REDUCED, STANDARD
from ledger.books.tax_rules import OrderTax
from shop.cart import CartLine
from shop.quote import Offer, ProblemKind, make_quote

TAX = OrderTax({STANDARD: 10, REDUCED: 8}, "down")


def offer(sku: str, *, price: int = 1_000, tax_class: str = STANDARD, available: int = 10) -> Offer:
    """Return the offer of a SKU."""
    return Offer(1, sku, f"灯り {sku}", "", f"/products/{sku}/", None, price, tax_class, available, tax=TAX)


offers = st.builds(
    offer,
    st.sampled_from([f"S{n}" for n in range(8)]),
    price=st.integers(1, 200_000),
    tax_class=st.sampled_from([STANDARD, REDUCED]),
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
    quote = make_quote(wanted, {o.sku: o for o in on_sale}, discount=discount)
    totals = quote.totals
    assert totals.goods_total == sum(line.amount for line in quote.counted_lines)
    assert totals.discount == min(discount, totals.goods_total)
    assert sum(totals.line_discounts) == totals.discount
    assert totals.total == totals.goods_total - totals.discount + totals.shipping_fee
    assert sum(totals.gross_by_class.values()) == totals.total
    for rate, gross, tax in quote.taxes:
        assert tax == gross * rate // (100 + rate)
    if quote.is_orderable:
        assert all(line.quantity <= line.offer.available for line in quote.lines)
        assert len(quote.lines) == len(wanted)
        assert 50 <= totals.total <= 99_999_999


@given(carts, st.lists(offers, max_size=8, unique_by=lambda o: o.sku))
def test_the_fingerprint_changes_with_every_price(wanted: list[CartLine], on_sale: list[Offer]) -> None:
    by_sku = {o.sku: o for o in on_sale}
    first = make_quote(wanted, by_sku)
    assert make_quote(wanted, dict(reversed(by_sku.items()))).fingerprint == first.fingerprint
    for line in first.counted_lines:
        dearer = by_sku | {line.offer.sku: offer(line.offer.sku, price=line.offer.price + 1, available=60)}
        assert make_quote(wanted, dearer).fingerprint != first.fingerprint


def test_shipping_is_free_from_the_limit_after_the_discount(settings: Settings) -> None:
    by_sku = {"A": offer("A", price=5_000)}
    wanted = [CartLine("A", 1, 5_000)]
    assert make_quote(wanted, by_sku).totals.shipping_fee == 0
    assert make_quote(wanted, by_sku).missing_for_free_shipping == 0
    reduced = make_quote(wanted, by_sku, discount=1)
    assert reduced.totals.shipping_fee == settings.SHIPPING_FEE
    assert reduced.missing_for_free_shipping == 1


def test_tax_is_rounded_once_for_each_rate_and_shipping_has_ten_percent() -> None:
    by_sku = {
        "A": offer("A", price=105),
        "B": offer("B", price=105),
        "C": offer("C", price=107, tax_class=REDUCED),
    }
    quote = make_quote([CartLine(sku, 1, by_sku[sku].price) for sku in by_sku], by_sku)
    assert quote.taxes == [(10, 710, 64), (8, 107, 7)]  # per line it would be 9 + 9 + 45


def test_problems_name_the_sku_and_only_a_changed_price_does_not_block_the_order() -> None:
    by_sku = {
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
    quote = make_quote(wanted, by_sku)
    assert [(problem.kind, problem.sku, problem.blocks_order) for problem in quote.problems] == [
        (ProblemKind.UNKNOWN, "gone", True),
        (ProblemKind.SOLD_OUT, "out", True),
        (ProblemKind.TOO_MANY, "few", True),
        (ProblemKind.PRICE_CHANGED, "dear", False),
    ]
    assert not quote.is_orderable
    assert make_quote(wanted[3:], by_sku).is_orderable


def test_too_few_pieces_are_reported_instead_of_the_limit_of_a_card_payment() -> None:
    by_sku = {"S1": offer("S1", price=20_000)}
    kinds = [problem.kind for problem in make_quote([CartLine("S1", 9_999, 20_000)], by_sku).problems]
    assert kinds == [ProblemKind.TOO_MANY]
    plenty = {"S1": offer("S1", price=20_000, available=9_999)}
    kinds = [problem.kind for problem in make_quote([CartLine("S1", 9_999, 20_000)], plenty).problems]
    assert kinds == [ProblemKind.ABOVE_MAXIMUM]


def test_an_empty_cart_costs_nothing_and_cannot_be_ordered() -> None:
    quote = make_quote([], {})
    assert quote.totals.total == 0
    assert not quote.is_orderable
    assert not quote.problems
