"""The product page: which variants can be bought, at which price."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from kikaku.days import business_day
from ledger.models import TaxStatus
from ledger.testing import company
from ledger.testing.company import EXEMPT
from shop.models import Picture, Product, Variant
from shop.testing import build

pytestmark = pytest.mark.django_db


def structured(page: str) -> dict[str, Any]:
    """Return the JSON-LD of a page."""
    match = re.search(r'<script type="application/ld\+json">(.*?)</script>', page)
    assert match
    data: dict[str, Any] = json.loads(match[1])
    return data


def test_a_draft_is_not_found(client: Client) -> None:
    build.product(status=Product.Status.DRAFT)
    assert client.get("/products/madoka/").status_code == 404


def test_an_archived_product_has_a_notice_and_similar_products(client: Client) -> None:
    build.product(status=Product.Status.ARCHIVED)
    build.product("masu", title="シーリングライト 枡")
    page = client.get("/products/madoka/").content.decode()
    assert "この商品は販売を終了しました" in page
    assert "シーリングライト 枡" in page
    assert "カートに入れる" not in page
    assert '<meta name="robots" content="noindex">' in page
    assert "まどか" not in client.get("/products/").content.decode()


def test_the_style_sheet_alone_switches_price_and_picture_of_a_variant(client: Client) -> None:
    made = build.product(option_ja="電球色", kelvin=2_700)
    second = build.variant(made, "SKU-2", price=14_800, option_ja="昼白色", kelvin=5_000, position=1)
    Picture.objects.create(product=made, variant=second, file="products/day.svg", alt_ja="白い灯り")
    page = client.get("/products/madoka/").content.decode()
    assert 'class="product switching"' in page
    assert re.search(r'<img class="of o2" src="/media/products/day.svg"', page)
    assert re.search(r'class="of o1 first">.*?¥12,800', page)
    assert re.search(r'class="of o2">.*?¥14,800', page)
    assert re.search(r'name="sku" value="SKU-madoka" class="v1" checked', page)


def test_a_sold_out_variant_is_shown_but_cannot_be_chosen(client: Client) -> None:
    made = build.product(option_ja="電球色", on_hand=0)
    build.variant(made, "SKU-2", option_ja="昼白色", position=1)
    page = client.get("/products/madoka/").content.decode()
    assert re.search(r'value="SKU-madoka" class="v1" disabled', page)
    assert re.search(r'value="SKU-2" class="v2" checked', page)
    assert "売り切れ" in page


def test_only_a_low_stock_is_shown_as_a_number(client: Client) -> None:
    build.product("few", on_hand=3)
    build.product("many", on_hand=6)
    assert "残り 3 点" in client.get("/products/few/").content.decode()
    assert "点<" not in client.get("/products/many/").content.decode()


def test_a_sold_out_product_has_a_contact_link_instead_of_a_button(client: Client) -> None:
    build.product(on_hand=0)
    page = client.get("/products/madoka/").content.decode()
    assert "ただいま売り切れです" in page
    assert "カートに入れる" not in page


def test_reserved_pieces_are_not_offered(client: Client) -> None:
    made = build.product(on_hand=3)
    made.variants.get().stock.__class__.objects.update(reserved=3)
    assert "ただいま売り切れです" in client.get("/products/madoka/").content.decode()


def test_a_retired_variant_is_shown_nowhere(client: Client) -> None:
    made = build.product(option_ja="電球色")
    build.variant(made, "OLD", option_ja="旧色", price=1, retired=True)
    assert "旧色" not in client.get("/products/madoka/").content.decode()
    assert "¥1<" not in client.get("/products/").content.decode()
    assert client.post("/cart/add/", {"sku": "OLD", "quantity": "1"})["Location"] == "/cart/?problem=unknown"


def test_the_structured_data_has_an_offer_for_each_variant(client: Client) -> None:
    made = build.product()
    build.variant(made, "SKU-2", on_hand=0, price=9_000)
    offers = structured(client.get("/products/madoka/").content.decode())["offers"]
    assert [(offer["sku"], offer["price"], offer["availability"].rpartition("/")[2]) for offer in offers] == [
        ("SKU-madoka", 12_800, "InStock"),
        ("SKU-2", 9_000, "OutOfStock"),
    ]


def test_a_description_cannot_break_out_of_the_structured_data(client: Client) -> None:
    made = build.product()
    Product.objects.filter(pk=made.pk).update(description_ja="</script><script>alert(1)</script>&")
    page = client.get("/products/madoka/").content.decode()
    assert "<script>alert" not in page
    assert structured(page)["description"] == "</script><script>alert(1)</script>&"


def test_the_english_page_falls_back_to_japanese_where_english_is_missing(client: Client) -> None:
    made = build.product()
    page = client.get("/en/products/madoka/").content.decode()
    assert "A round ceiling light." in page
    assert "Add to cart" in page
    Product.objects.filter(pk=made.pk).update(description_en="")
    assert "丸い主照明です。" in client.get("/en/products/madoka/").content.decode()


def test_a_reduced_tax_rate_is_shown_at_the_price(client: Client) -> None:
    build.product("water", tax_class="reduced", price=380)
    assert "（軽減税率）" in client.get("/products/water/").content.decode()


def test_an_exempt_shop_names_no_tax_rate_at_the_price(client: Client) -> None:
    build.product("water", tax_class="reduced", price=380)
    tomorrow = business_day(timezone.now()) + timedelta(days=1)
    company.enter(from_day=tomorrow, **EXEMPT)
    assert "（軽減税率）" in client.get("/products/water/").content.decode()
    TaxStatus.objects.all().delete()
    company.enter(**EXEMPT)
    page = client.get("/products/water/").content.decode()
    assert "税込" in page and "軽減税率" not in page


def test_a_card_shows_no_price_of_a_sold_out_variant(client: Client) -> None:
    made = build.product(price=9_000, on_hand=0)
    build.variant(made, "SKU-2", price=12_000)
    page = client.get("/products/").content.decode()
    assert "¥12,000" in page
    assert "¥9,000" not in page
    assert Variant.objects.count() == 2
