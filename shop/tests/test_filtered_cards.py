"""In a filtered list each card shows the variant that matches: picture, link, price, luminous flux, stock."""

import re

import pytest
from django.test import Client

from shop.models import Picture, Product
from shop.testing import build

pytestmark = pytest.mark.django_db


@pytest.fixture
def lamp() -> Product:
    """Create a lamp in 電球色 and 昼光色, each with a picture of its own."""
    made = build.product("lamp", picture=False, sku="L", kelvin=2_700, lumens=4_200, price=10_000)
    warm = made.variants.get()
    warm.option_ja, warm.option_en = "電球色 2,700 K", "Warm white 2,700 K"
    warm.save()
    cool = build.variant(made, "D", kelvin=6_500, lumens=3_900, price=12_000, option_ja="昼光色 6,500 K")
    for place, (variant, name) in enumerate(((warm, "amber"), (cool, "blue"))):
        Picture.objects.create(
            product=made, variant=variant, file=f"products/{name}.svg", alt_ja=name, position=place
        )
    return made


def card(client: Client, path: str) -> str:
    """Return the only card of a list."""
    page = client.get(path).content.decode()
    cards = re.findall(r'<li class="card">.*?</li>', page, re.DOTALL)
    assert len(cards) == 1
    return str(cards[0])


@pytest.mark.parametrize("path", ["/products/", "/categories/ceiling-lights/", "/search/?q=lamp"])
def test_a_card_shows_the_variant_that_matches_the_filter(client: Client, lamp: Product, path: str) -> None:
    sign = "&" if "?" in path else "?"
    cool = card(client, f"{path}{sign}light=cool")
    assert 'href="/products/lamp/?sku=D"' in cool
    assert "blue.svg" in cool and "amber.svg" not in cool
    assert "¥12,000" in cool and "¥10,000" not in cool
    assert "昼光色 6,500 K・3,900 lm" in cool and "4,200" not in cool
    warm = card(client, f"{path}{sign}light=warm")
    assert "amber.svg" in warm and "?sku=L" in warm and "電球色 2,700 K・4,200 lm" in warm
    every = card(client, path)
    assert (
        'href="/products/lamp/"' in every
        and "amber.svg" in every
        and "¥10,000～" in every.replace("〜", "～")
    )


def test_a_card_of_a_price_shows_the_variant_of_that_price(client: Client, lamp: Product) -> None:
    build.variant(lamp, "S", kelvin=5_000, price=2_500, option_ja="小")
    assert "?sku=S" in card(client, "/products/?price=a")


def test_what_is_sold_out_in_the_colour_is_not_shown_as_available(client: Client, lamp: Product) -> None:
    cool = lamp.variants.get(sku="D")
    cool.stock.reserved = cool.stock.on_hand
    cool.stock.save()
    assert "売り切れ" in card(client, "/products/?light=cool")
    assert "売り切れ" not in card(client, "/products/?light=warm")
    assert "売り切れ" not in card(client, "/products/")
    assert "lamp" not in client.get("/products/?light=cool&stock=1").content.decode()


def test_prices_of_the_matching_variants_decide_the_order(client: Client, lamp: Product) -> None:
    build.product("other", kelvin=6_500, price=11_000)
    page = client.get("/products/?light=cool&sort=price").content.decode()
    assert page.index("/products/other/") < page.index("/products/lamp/")
    page = client.get("/products/?sort=price").content.decode()
    assert page.index("/products/lamp/") < page.index("/products/other/")


def test_dots_show_light_only_where_variants_differ_in_it(client: Client, lamp: Product) -> None:
    assert card(client, "/products/").count('class="dot ') == 2
    assert "全" not in card(client, "/products/")
    lamp.delete()
    body = build.product("body", kelvin=2_700)
    assert 'class="dot ' not in card(client, "/products/")
    build.variant(body, "BLACK", kelvin=2_700, option_ja="黒")
    both = card(client, "/products/")
    assert 'class="dot ' not in both
    assert "全2種類" in both


def test_a_product_opens_with_the_variant_of_the_link(client: Client, lamp: Product) -> None:
    page = client.get("/products/lamp/?sku=D").content.decode()
    assert re.search(r'value="D" class="v2" checked', page)
    assert '<img class="of o2 first"' in page
    assert 'value="L" class="v1" checked' in client.get("/products/lamp/").content.decode()
    for other in ("nothing", "%00", "%3Cscript%3E"):
        page = client.get(f"/products/lamp/?sku={other}").content.decode()
        assert 'value="L" class="v1" checked' in page and "<script>" not in page
    assert 'rel="canonical" href="http://127.0.0.1:8000/products/lamp/"' in page


def test_each_choice_names_its_luminous_flux_where_they_differ(client: Client, lamp: Product) -> None:
    page = client.get("/products/lamp/").content.decode()
    assert "昼光色 6,500 K <small>3,900 lm</small>" in page
    lamp.variants.update(lumens=4_200)
    assert "<small>4,200 lm</small>" not in client.get("/products/lamp/").content.decode()
