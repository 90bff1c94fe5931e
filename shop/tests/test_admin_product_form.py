"""The product's form in the admin: pictures and their variants, links, thumbnails, few queries."""

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from shop.models import Picture, Product, Variant
from shop.testing import build
from shop.testing.admin import drawing, form, row, with_picture

pytestmark = pytest.mark.django_db

ADD = "/admin/shop/product/add/"


def page_of(product: Product) -> str:
    return reverse("admin:shop_product_change", args=[product.pk])


def picture(product: Product, number: int, variant: Variant | None = None) -> Picture:
    return Picture.objects.create(
        product=product,
        variant=variant,
        file=f"products/{number}.svg",
        alt_ja=f"絵 {number}",
        position=number,
    )


def tag(page: str, name: str) -> str:
    """Return the tag of a form's field."""
    found = re.search(rf'<(?:input|select)[^>]* name="{name}"[^>]*>', page)
    assert found, name
    return found[0]


def css_of(field: str) -> set[str]:
    found = re.search(r' class="([^"]*)"', field)
    return set(found[1].split()) if found else set()


def test_the_form_of_a_product_takes_ten_queries_however_many_pictures_it_has(admin_client: Client) -> None:
    product = build.product()
    variant = build.variant(product, "SECOND")
    for number in range(8):
        picture(product, number, variant if number % 2 else None)
    admin_client.get(page_of(product))
    with CaptureQueriesContext(connection) as captured:
        page = admin_client.get(page_of(product)).content.decode()
    assert len(captured) <= 10, [query["sql"][:120] for query in captured.captured_queries]
    assert page.count('<option value="SECOND" selected>') == 4


def test_a_picture_can_be_given_to_a_variant_before_the_first_save(admin_client: Client) -> None:
    fields = form(None) | {"variants-TOTAL_FORMS": "2"} | row(0, "NEW-1") | row(1, "NEW-2")
    fields |= with_picture("lamp.png", drawing()) | {"pictures-0-variant_sku": "NEW-2"}
    answer = admin_client.post(ADD, fields)
    assert answer.status_code == 302, answer.content.decode()
    assert Picture.objects.get().variant == Variant.objects.get(sku="NEW-2")


def test_a_sku_that_the_product_does_not_have_is_refused_at_the_picture(admin_client: Client) -> None:
    build.product("other", sku="OTHER-1")
    product = build.product(picture=False)
    fields = form(product) | with_picture("lamp.png", drawing()) | {"pictures-0-variant_sku": "OTHER-1"}
    answer = admin_client.post(page_of(product), fields)
    assert "この SKU のバリエーションは、この商品にはありません。" in answer.content.decode()
    assert not Picture.objects.filter(product=product).exists()


def test_a_typed_sku_stays_chosen_when_the_page_is_shown_again_with_an_error(admin_client: Client) -> None:
    fields = form(None, slug="") | {"variants-TOTAL_FORMS": "1"} | row(0, "NEW-1")
    fields |= with_picture("lamp.png", drawing()) | {"pictures-0-variant_sku": "NEW-1"}
    answer = admin_client.post(ADD, fields)
    assert answer.status_code == 200
    assert '<option value="NEW-1" selected>' in answer.content.decode()


def test_a_picture_follows_its_variant_whose_sku_is_changed_on_the_same_page(admin_client: Client) -> None:
    product = build.product(picture=False)
    first, second = build.variant(product, "FIRST", on_hand=0), build.variant(product, "SECOND", on_hand=0)
    one, two = picture(product, 1, first), picture(product, 2, first)
    places = {variant.sku: place for place, variant in enumerate(product.variants.all())}
    fields = form(product) | {f"variants-{places['FIRST']}-sku": "RENAMED"}
    fields |= {"pictures-1-variant_sku": "RENAMED", "pictures-1-alt_ja": "別の絵"}
    assert admin_client.post(page_of(product), fields).status_code == 302
    assert {one.pk: first.pk, two.pk: first.pk} == dict(Picture.objects.values_list("pk", "variant"))
    assert Variant.objects.get(pk=first.pk).sku == "RENAMED"

    fields = form(product) | {"pictures-0-variant_sku": "SECOND"}
    assert admin_client.post(page_of(product), fields).status_code == 302
    assert dict(Picture.objects.values_list("pk", "variant")) == {one.pk: second.pk, two.pk: first.pk}

    fields = form(product) | {f"variants-{places['SECOND']}-DELETE": "on", "pictures-0-alt_ja": "残る絵"}
    assert admin_client.post(page_of(product), fields).status_code == 302
    assert dict(Picture.objects.values_list("pk", "variant")) == {one.pk: None, two.pk: first.pk}


def test_the_initial_stock_looks_like_the_fields_beside_it(admin_client: Client) -> None:
    page = admin_client.get(ADD).content.decode()
    assert css_of(tag(page, "variants-__prefix__-initial_stock")) == css_of(
        tag(page, "variants-__prefix__-position")
    )
    assert css_of(tag(page, "pictures-__prefix__-variant_sku")) == css_of(tag(page, "category"))


def test_pictures_are_shown_small_and_the_page_links_to_the_shop_and_warns_of_unsaved_changes(
    admin_client: Client,
) -> None:
    product = build.product(picture=False)
    shown = picture(product, 1)
    page = admin_client.get(page_of(product)).content.decode()
    assert f'<img src="{shown.file.url}" alt="絵 1" width="72"' in page
    assert f'href="{reverse("product", args=[product.slug])}"' in page
    assert 'class="warn-unsaved-form"' in page
    assert "shop/product-form" in page

    product.status = Product.Status.DRAFT
    product.save()
    assert (
        f'href="{reverse("product", args=[product.slug])}"'
        not in admin_client.get(page_of(product)).content.decode()
    )
