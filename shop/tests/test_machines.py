"""What search engines, networks and browsers look for: sitemap, robots.txt, icons, card pictures, JSON-LD."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as project
from django.test import Client
from PIL import Image
from pytest_django import DjangoAssertNumQueries, Settings

from shop.demo import catalogue, drawing, rasters
from shop.models import Picture, Product
from shop.testing import build

pytestmark = pytest.mark.django_db
BASE = "http://127.0.0.1:8000"


def structured(page: str) -> list[dict[str, Any]]:
    """Return the JSON-LD texts of a page."""
    return [
        json.loads(text) for text in re.findall(r'<script type="application/ld\+json">(.*?)</script>', page)
    ]


def card_picture(page: str) -> str:
    """Return the picture of a shared link."""
    found = re.findall(r'<meta property="og:image" content="([^"]+)">', page)
    assert len(found) == 1
    return str(found[0])


def test_the_sitemap_lists_what_can_be_bought_and_read_in_both_languages(
    client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    build.product("madoka")
    build.product("secret", status=Product.Status.DRAFT)
    build.product("old", status=Product.Status.ARCHIVED)
    build.content_page("terms")
    with django_assert_max_num_queries(3):
        answer = client.get("/sitemap.xml", headers={"Host": "localhost"})
    assert answer.status_code == 200 and not answer.cookies
    assert answer["Content-Type"].startswith("application/xml")
    text = answer.content.decode()
    for path in ("/", "/products/", "/products/madoka/", "/categories/ceiling-lights/", "/pages/terms/"):
        assert f"<loc>{BASE}{path}</loc>" in text
        assert f"<loc>{BASE}/en{path}</loc>" in text
        assert f'hreflang="en" href="{BASE}/en{path}"' in text
    assert "secret" not in text and "/products/old/" not in text and "localhost" not in text


def test_robots_txt_names_the_sitemap_and_hides_what_is_private(client: Client) -> None:
    answer = client.get("/robots.txt")
    assert answer.status_code == 200 and not answer.cookies
    lines = answer.content.decode().splitlines()
    assert f"Sitemap: {BASE}/sitemap.xml" in lines
    for path in ("/cart/", "/checkout/", "/orders/", "/admin/", "/search/", "/en/cart/"):
        assert f"Disallow: {path}" in lines
    assert "Disallow: /" not in lines


def test_the_icons_that_browsers_look_for_are_served_at_the_root() -> None:
    folder = Path(project.WHITENOISE_ROOT)
    with Image.open(folder / "favicon.ico") as icon:
        assert icon.format == "ICO" and {(16, 16), (32, 32)} <= icon.info["sizes"]
    with Image.open(folder / "apple-touch-icon.png") as icon:
        assert icon.size == (180, 180)


@pytest.mark.parametrize("path", ["/", "/products/", "/categories/ceiling-lights/", "/products/madoka/"])
def test_a_shared_link_has_a_raster_picture(client: Client, path: str) -> None:
    build.product()  # its picture is a drawing without a raster
    picture = card_picture(client.get(path).content.decode())
    assert picture.startswith(f"{BASE}/static/shop/card.") and picture.endswith(".jpg")
    with Image.open(Path(project.BASE_DIR) / "static/shop/card.jpg") as card:
        assert card.size == (1200, 630)


def test_a_product_is_shared_with_its_own_picture(client: Client) -> None:
    made = build.product(picture=False)
    Picture.objects.create(product=made, file="products/a.svg", alt_ja="図", position=0)
    Picture.objects.create(
        product=made, file="products/b.svg", raster="products/b.jpg", alt_ja="図", position=1
    )
    Picture.objects.create(product=made, file="products/c.webp", alt_ja="写真", position=2)
    page = client.get("/products/madoka/").content.decode()
    assert card_picture(page) == f"{BASE}/media/products/b.jpg"
    assert structured(page)[0]["image"] == [f"{BASE}/media/products/{name}" for name in ("b.jpg", "c.webp")]


def test_every_good_drawn_by_hand_has_a_raster() -> None:
    for good in catalogue.goods():
        content = rasters.raster(drawing.draw(good.pictures[0].drawing))
        assert content, f"{good.slug}: run scripts/draw_rasters.py"
        with Image.open(io.BytesIO(content)) as picture:
            assert picture.format == "JPEG" and picture.size == (rasters.SIDE, rasters.SIDE)
    assert len(list(rasters.FOLDER.glob("*.jpg"))) == len(catalogue.goods())


def test_structured_data_has_the_way_to_the_page_shipping_and_returns(
    client: Client, settings: Settings
) -> None:
    made = build.product(price=4_000)
    build.variant(made, "DEAR", price=6_000)
    build.variant(made, "FOOD", price=500, tax_class="reduced")
    settings.RETURN_DAYS = 21
    product, trail = structured(client.get("/products/madoka/").content.decode())
    assert trail["@type"] == "BreadcrumbList"
    assert [(one["position"], one["item"]) for one in trail["itemListElement"]] == [
        (1, f"{BASE}/"),
        (2, f"{BASE}/categories/ceiling-lights/"),
        (3, f"{BASE}/products/madoka/"),
    ]
    cheap, dear, food = product["offers"]
    assert dear["url"] == f"{BASE}/products/madoka/?sku=DEAR"
    assert cheap["shippingDetails"]["shippingRate"] == {
        "@type": "MonetaryAmount",
        "value": settings.SHIPPING_FEE,
        "currency": "JPY",
    }
    assert dear["shippingDetails"]["shippingRate"]["value"] == 0
    transit = cheap["shippingDetails"]["deliveryTime"]["transitTime"]
    assert 1 <= transit["minValue"] <= transit["maxValue"]
    policy = cheap["hasMerchantReturnPolicy"]
    assert (policy["merchantReturnDays"], policy["applicableCountry"]) == (21, "JP")
    assert food["hasMerchantReturnPolicy"]["returnPolicyCategory"].endswith("MerchantReturnNotPermitted")
