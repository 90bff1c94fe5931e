"""The shop's terms: each has one text, which all pages and mails show."""

from collections.abc import Iterator

import pytest
from django.test import Client
from django.utils.html import escape
from pytest_django import Settings

from ledger.templatetags.ledger_terms import terms
from shop.demo.pages import PAGES
from shop.models import ContentPage
from shop.pages.fragments import render_cached
from shop.pages.marks import MARKS
from shop.testing import build
from shop.testing.checkout import confirmation

pytestmark = pytest.mark.django_db


@pytest.fixture
def other_terms(settings: Settings) -> Iterator[None]:
    """Let the shop take goods back for 14 days, and keep no fragment that shows other terms."""
    render_cached.cache_clear()
    settings.RETURN_DAYS = 14
    yield
    render_cached.cache_clear()


@pytest.fixture
def shopper(client: Client) -> Client:
    """Return a customer with a cart, in a shop with the pages of the demo."""
    for page in PAGES:
        ContentPage.objects.create(
            slug=page.slug,
            title_ja=page.title.ja,
            title_en=page.title.en,
            body_ja=page.body.ja,
            body_en=page.body.en,
        )
    build.product()
    build.fill_cart(client, ("SKU-madoka", 1))
    return client


@pytest.mark.usefixtures("other_terms")
def test_home_returns_page_legal_notice_and_confirmation_tell_one_rule_of_returns(shopper: Client) -> None:
    rule = escape(terms("returns"))
    assert "14 日以内" in rule
    assert "未使用の商品に限り" in rule
    assert rule in confirmation(shopper)
    for slug in ("returns", "tokushoho"):
        assert rule in shopper.get(f"/pages/{slug}/").content.decode(), slug
    short = escape(terms("returns", "short"))
    assert "未使用の商品（飲料・食品を除く）は、到着から 14 日以内" in short
    assert "飲料・食品の返品は、不良品・誤配送の場合に限ります" in rule
    for path in ("/", "/products/madoka/"):
        assert short in shopper.get(path).content.decode(), path


@pytest.mark.usefixtures("other_terms")
def test_no_page_tells_a_rule_of_returns_of_its_own(shopper: Client) -> None:
    pages = [confirmation(shopper)]
    pages += [shopper.get(path).content.decode() for path in ("/", "/products/madoka/", "/en/")]
    pages += [shopper.get(f"/pages/{page.slug}/").content.decode() for page in PAGES]
    for page in pages:
        for told in ("30 日以内", "30 days", "部屋で確かめて", "own room"):
            assert told not in page


def test_confirmation_and_legal_notice_tell_one_rule_of_cancelling(shopper: Client) -> None:
    rule = escape(terms("cancellation"))
    assert rule in confirmation(shopper)
    assert rule in shopper.get("/pages/tokushoho/").content.decode()


def test_a_mark_that_stands_for_nothing_cannot_be_saved(admin_client: Client) -> None:
    page = build.content_page("returns", "返品")
    form = {"slug": "returns", "title_ja": "返品", "body_ja": "<p>{{ 返品条件 }} {{返品}}</p>"}
    address = f"/admin/shop/contentpage/{page.pk}/change/"
    answer = admin_client.post(address, form)
    assert "{{返品}}" in answer.content.decode()
    assert answer.status_code == 200
    assert admin_client.post(address, form | {"body_ja": "<p>{{ 返品条件 }}</p>"}).status_code == 302
    assert escape(terms("returns")) in Client().get("/pages/returns/").content.decode()


def test_every_mark_has_a_text_in_both_languages(client: Client) -> None:
    body = "".join(f"<p>{{{{{mark}}}}}</p>" for mark in MARKS)
    build.content_page("all", "すべて", body)
    ContentPage.objects.update(body_en=body)
    for path in ("/pages/all/", "/en/pages/all/"):
        page = client.get(path).content.decode()
        assert "{{" not in page
        assert "<p></p>" not in page
