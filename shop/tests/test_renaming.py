"""A page whose slug changed is found under its old address: 301 to the new one."""

import pytest
from django.test import Client

from shop.models import Category, ContentPage, Product, Redirect
from shop.testing import build

pytestmark = pytest.mark.django_db


def leads_to(client: Client, path: str) -> str:
    """Return where a 301 leads; empty for a 404."""
    answer = client.get(path)
    assert answer.status_code in (301, 404)
    return answer["Location"] if answer.status_code == 301 else ""


def test_a_renamed_product_is_found_under_each_of_its_old_addresses(client: Client) -> None:
    made = build.product("one")
    made.slug = "two"
    made.save()
    Product.objects.filter(pk=made.pk).update(slug="three")
    Product.objects.bulk_update([Product(pk=made.pk, slug="four")], ["slug"])
    for old in ("one", "two", "three"):
        assert leads_to(client, f"/products/{old}/") == "/products/four/"
        assert leads_to(client, f"/en/products/{old}/") == "/en/products/four/"
    assert client.get("/products/four/").status_code == 200
    assert "max-age=3600" in client.get("/products/one/")["Cache-Control"]


def test_categories_and_content_pages_lead_on_as_well(client: Client) -> None:
    build.product()
    build.content_page("terms")
    Category.objects.update(slug="lights")
    page = ContentPage.objects.get()
    page.slug = "conditions"
    page.save(update_fields=["slug"])
    assert leads_to(client, "/categories/ceiling-lights/") == "/categories/lights/"
    assert leads_to(client, "/pages/terms/") == "/pages/conditions/"
    assert leads_to(client, "/products/terms/") == ""


def test_what_an_old_address_asks_for_is_asked_of_the_new_one(client: Client) -> None:
    made = build.product("one")
    made.slug = "two"
    made.save()
    Category.objects.update(slug="lights")
    assert leads_to(client, "/products/one/?sku=SKU-one&utm=1%202") == "/products/two/?sku=SKU-one&utm=1%202"
    assert leads_to(client, "/categories/ceiling-lights/?light=cool") == "/categories/lights/?light=cool"
    assert leads_to(client, "/en/products/one/?//evil.example") == "/en/products/two/?//evil.example"


def test_a_name_that_is_taken_back_or_given_to_another_leads_nowhere_else(client: Client) -> None:
    made = build.product("one")
    for slug in ("two", "one"):
        made.slug = slug
        made.save()
    assert client.get("/products/one/").status_code == 200
    assert leads_to(client, "/products/two/") == "/products/one/"
    build.product("two", sku="B")
    assert client.get("/products/two/").status_code == 200


def test_a_save_that_changes_no_slug_writes_no_redirect() -> None:
    made = build.product("one")
    made.title_ja = "別"
    made.save()
    Product.objects.update(title_ja="また別")
    Product.objects.get().save()
    build.category("other")
    Category(pk=made.category_id, slug="ceiling-lights", name_ja="新").save()
    assert not Redirect.objects.exists()
    Category(pk=made.category_id, slug="lights", name_ja="新").save()
    assert str(Redirect.objects.get()) == "ceiling-lights → lights"


def test_a_redirect_to_what_is_gone_or_hidden_is_a_404(client: Client) -> None:
    Redirect.objects.create(kind="product", old="gone", new="nothing")
    assert client.get("/products/gone/", follow=True).status_code == 404
    assert client.get("/products/nothing/").status_code == 404


def test_staff_see_and_add_redirects(admin_client: Client, client: Client) -> None:
    made = build.product("one")
    admin_client.post(
        "/admin/shop/redirect/add/", {"kind": "product", "old": "from-the-old-shop", "new": "one"}
    )
    assert leads_to(client, "/products/from-the-old-shop/") == "/products/one/"
    made.slug = "two"
    made.save()
    assert leads_to(client, "/products/from-the-old-shop/") == "/products/two/"
    assert "from-the-old-shop" in admin_client.get("/admin/shop/redirect/").content.decode()
