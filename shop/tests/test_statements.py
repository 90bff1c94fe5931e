"""Prepared statements find what the ORM finds, for any typed text."""

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from shop.filters import Filters, normalise_query
from shop.listing import load_listing, matching
from shop.models import Product
from shop.pages.statements import prepare, slot
from shop.quote import load_offers, load_price
from shop.testing import build
from shop.words import terms

TYPED = st.text(alphabet="灯aA%_\\'\" é", min_size=1, max_size=4)


class Typed(TestCase):
    """Typed text is matched literally, never as a pattern or SQL."""

    @settings(max_examples=40, deadline=None)
    @given(title=TYPED, typed=TYPED)
    def test_a_search_finds_what_the_orm_finds(self, title: str, typed: str) -> None:
        build.product("typed", title=title, picture=False)
        wanted = Filters(query=normalise_query(typed))
        assert load_listing(wanted, page=1).count == matching(wanted, terms(wanted.query)).count()

    @settings(max_examples=40, deadline=None)
    @given(sku=st.text(alphabet="aA%_'\\ ", min_size=1, max_size=4))
    def test_a_sku_matches_only_itself(self, sku: str) -> None:
        build.product("typed", picture=False, price=700)
        variant = build.variant(build.product("other", picture=False), sku, price=900)
        assert load_price(sku) == 900
        assert set(load_offers([sku, "nothing"], now=timezone.now())) == {variant.sku}
        assert load_price(f"{sku}%") is None


@pytest.mark.django_db
def test_a_missing_text_raises_before_the_query() -> None:
    statement = prepare(Product.objects.filter(slug=slot("slug")).values("slug"))
    with connection.execute_wrapper(lambda *_arguments: pytest.fail("a query ran")), pytest.raises(KeyError):
        statement.rows()


@pytest.mark.django_db
def test_one_statement_serves_different_texts() -> None:
    build.product("one")
    build.product("two")
    statement = prepare(Product.objects.filter(slug=slot("slug")).values("slug", "title_ja"))
    assert [statement.records(slug=slug)[0]["slug"] for slug in ("one", "two")] == ["one", "two"]
    assert statement.rows(slug="three") == []
