"""The catalogue in the admin: variants with stock, checked pictures, sold variants are kept."""

from datetime import UTC, datetime

import pytest
from auditlog.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from ledger.models import StockItem, StockMovement
from ledger.sales import stock
from ledger.testing import build as books
from shop.models import ContactMessage, ContentPage, Picture, Product, Variant
from shop.testing import build
from shop.testing.admin import drawing, form, row, with_picture

pytestmark = pytest.mark.django_db


def test_a_new_variant_gets_a_stock_item_with_its_initial_stock(admin_client: Client) -> None:
    fields = form(None) | {"variants-TOTAL_FORMS": "1"} | row(0, "NEW-1", initial_stock=7)
    answer = admin_client.post("/admin/shop/product/add/", fields)
    assert answer.status_code == 302, answer.content.decode()
    variant = Variant.objects.get()
    assert (variant.stock.sku, variant.stock.on_hand) == ("NEW-1", 7)
    movement = StockMovement.objects.get()
    assert (movement.kind, movement.quantity, movement.actor) == ("receipt", 7, "admin")


def test_saving_again_receives_no_stock_again(admin_client: Client) -> None:
    product = build.product(on_hand=3)
    for _save in range(2):
        answer = admin_client.post(f"/admin/shop/product/{product.pk}/change/", form(product))
        assert answer.status_code == 302, answer.content.decode()
    assert StockItem.objects.get().on_hand == 3


def test_an_unsold_sku_can_be_corrected_and_the_stock_item_follows(admin_client: Client) -> None:
    product = build.product()
    fields = form(product) | {"variants-0-sku": "RIGHT"}
    assert admin_client.post(f"/admin/shop/product/{product.pk}/change/", fields).status_code == 302
    assert StockItem.objects.get().sku == Variant.objects.get().sku == "RIGHT"


def test_the_sku_of_a_sold_variant_cannot_be_changed(admin_client: Client) -> None:
    product = build.product()
    books.order([books.line("SKU-madoka")])
    fields = form(product) | {"variants-0-sku": "OTHER"}
    assert admin_client.post(f"/admin/shop/product/{product.pk}/change/", fields).status_code == 302
    assert StockItem.objects.get().sku == Variant.objects.get().sku == "SKU-madoka"


def test_a_sku_of_another_variant_is_refused(admin_client: Client) -> None:
    build.product("one")
    product = build.product("two")
    fields = form(product) | {"variants-0-sku": "SKU-one"}
    assert admin_client.post(f"/admin/shop/product/{product.pk}/change/", fields).status_code == 200
    assert Variant.objects.filter(sku="SKU-two").exists()


def test_deleting_a_variant_with_stock_or_orders_retires_it(admin_client: Client) -> None:
    product = build.product()
    build.variant(product, "UNUSED", on_hand=0)
    fields = form(product) | {"variants-0-DELETE": "on", "variants-1-DELETE": "on"}
    answer = admin_client.post(f"/admin/shop/product/{product.pk}/change/", fields, follow=True)
    assert "削除せずに販売終了としました" in answer.content.decode()
    assert Variant.objects.get().retired
    assert list(StockItem.objects.values_list("sku", flat=True)) == ["SKU-madoka"]


def test_a_product_with_a_history_cannot_be_deleted(admin_client: Client) -> None:
    product = build.product()
    assert admin_client.post(f"/admin/shop/product/{product.pk}/delete/", {"post": "yes"}).status_code == 403
    fresh = build.product("fresh", on_hand=0)
    assert admin_client.post(f"/admin/shop/product/{fresh.pk}/delete/", {"post": "yes"}).status_code == 302
    assert list(Product.objects.values_list("slug", flat=True)) == ["madoka"]


def test_a_compare_at_price_below_the_price_is_explained(admin_client: Client) -> None:
    product = build.product()
    fields = form(product) | {"variants-0-compare_at_price": "5"}
    answer = admin_client.post(f"/admin/shop/product/{product.pk}/change/", fields)
    assert "比較対照価格は価格より高くしてください" in answer.content.decode()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_a_picture_is_measured_and_named_by_the_shop(admin_client: Client, kind: str) -> None:
    product = build.product(picture=False)
    fields = form(product) | with_picture("../../evil.png", drawing(kind))
    answer = admin_client.post(f"/admin/shop/product/{product.pk}/change/", fields)
    assert answer.status_code == 302, answer.content.decode()
    picture = Picture.objects.get()
    assert (picture.width, picture.height) == (40, 30)
    name = str(picture.file.name)
    assert name.startswith("products/")
    assert name.endswith(".jpg")
    assert "evil" not in name


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("lamp.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"),
        ("lamp.png", b"<html><script>alert(1)</script></html>"),
        ("lamp.png", drawing()[:60]),
        ("lamp.png", b"\x89PNG\r\n\x1a\n" + b"0" * 5_000_001),
        ("lamp.gif", drawing("GIF")),
        ("lamp.png", drawing(size=(8_001, 1))),
    ],
    ids=["svg", "html", "cut short", "too large", "gif", "too wide"],
)
def test_a_file_that_is_not_an_allowed_picture_is_refused(
    admin_client: Client, name: str, content: bytes
) -> None:
    product = build.product(picture=False)
    answer = admin_client.post(
        f"/admin/shop/product/{product.pk}/change/", form(product) | with_picture(name, content)
    )
    assert answer.status_code == 200
    assert not Picture.objects.exists()


def test_the_number_of_queries_does_not_grow_with_the_product_list(
    admin_client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(12):
        build.product(f"p{number}", price=1_000 + number, picture=False)
    admin_client.get("/admin/shop/product/")
    with django_assert_max_num_queries(12):
        page = admin_client.get("/admin/shop/product/?q=p").content.decode()
    assert "¥1,011" in page


def test_actions_activate_and_archive_products_and_are_in_the_audit_log(admin_client: Client) -> None:
    product = build.product(status=Product.Status.DRAFT)
    bare = Product.objects.create(category=build.category(), slug="bare", title_ja="空")
    chosen = {"_selected_action": [product.pk, bare.pk]}
    admin_client.post("/admin/shop/product/", chosen | {"action": "activate"})
    assert list(Product.objects.filter(status="active")) == [product]
    admin_client.post("/admin/shop/product/", chosen | {"action": "archive"})
    assert Product.objects.filter(status="archived").count() == 2
    entry = LogEntry.objects.get_for_object(product).first()
    assert entry is not None
    assert entry.actor == User.objects.get(username="admin")
    assert "status" in entry.changes_dict


def test_scripts_in_a_content_page_are_removed_in_the_admin(admin_client: Client) -> None:
    fields = {
        "slug": "terms",
        "title_ja": "利用規約",
        "body_ja": "<p>あ</p><script>x</script>",
        "body_en": "",
    }
    assert admin_client.post("/admin/shop/contentpage/add/", fields).status_code == 302
    assert ContentPage.objects.get().body_ja == "<p>あ</p>"


def test_the_name_of_a_message_has_its_business_day() -> None:
    received_at = datetime(2026, 11, 26, 15, 0, tzinfo=UTC)  # midnight in Japan
    assert str(ContactMessage(name="花子", received_at=received_at)) == "花子 2026-11-27"


def test_messages_can_be_marked_as_answered_but_not_changed(admin_client: Client) -> None:
    message = ContactMessage.objects.create(
        name="花子", email="h@example.jp", message="？", nonce="n", received_at=timezone.now()
    )
    admin_client.post(
        "/admin/shop/contactmessage/", {"action": "mark_answered", "_selected_action": [message.pk]}
    )
    admin_client.post(f"/admin/shop/contactmessage/{message.pk}/change/", {"message": "!", "name": "x"})
    message.refresh_from_db()
    assert message.answered_at
    assert message.message == "？"
    admin_client.get("/admin/")  # consumes the messages of the actions
    assert "h@example.jp" not in admin_client.get("/admin/shop/contactmessage/?answered=no").content.decode()
    assert admin_client.get("/admin/shop/contactmessage/add/").status_code == 403


@pytest.mark.parametrize("page", ["product", "category", "contentpage", "contactmessage"])
def test_the_admin_requires_permissions(client: Client, page: str) -> None:
    clerk = User.objects.create_user("clerk", is_staff=True)
    client.force_login(clerk)
    assert client.get(f"/admin/shop/{page}/").status_code == 403
    clerk.user_permissions.add(Permission.objects.get(codename=f"view_{page}"))
    assert client.get(f"/admin/shop/{page}/").status_code == 200
    assert client.post(f"/admin/shop/{page}/add/", {}).status_code == 403


@pytest.mark.parametrize("path", ["product/add/", "category/add/", "contentpage/add/"])
def test_the_forms_open(admin_client: Client, path: str) -> None:
    assert admin_client.get(f"/admin/shop/{path}").status_code == 200


def test_the_product_form_shows_the_stock_of_a_variant(admin_client: Client) -> None:
    product = build.product(on_hand=5)
    stock.reserve({product.variants.get().stock_id: 2})
    page = admin_client.get(f"/admin/shop/product/{product.pk}/change/").content.decode()
    assert "販売可能 3、引当済 2" in page


def test_a_form_that_was_saved_already_adds_no_second_picture(admin_client: Client) -> None:
    product = build.product(picture=False)
    fields = form(product) | with_picture("lamp.png", drawing())
    url = f"/admin/shop/product/{product.pk}/change/"
    assert admin_client.post(url, fields).status_code == 302
    again = admin_client.post(url, fields | with_picture("lamp.png", drawing()))
    assert again.status_code == 200
    assert "ページを開き直してください" in again.content.decode()
    assert Picture.objects.count() == 1


@pytest.mark.parametrize("slug", ["tokushoho", "privacy", "terms", "returns"])
def test_a_legal_page_can_be_edited_but_neither_deleted_nor_moved(admin_client: Client, slug: str) -> None:
    page = build.content_page(slug)
    address = f"/admin/shop/contentpage/{page.pk}"
    assert admin_client.post(f"{address}/delete/", {"post": "yes"}).status_code == 403
    selected = {"_selected_action": [page.pk], "action": "delete_selected", "post": "yes"}
    admin_client.post("/admin/shop/contentpage/", selected)
    assert ContentPage.objects.filter(slug=slug).exists()
    shown = admin_client.get(f"{address}/change/").content.decode()
    assert f"{address}/delete/" not in shown
    fields = {
        "slug": "elsewhere",
        "title_ja": "新しい題",
        "title_en": "",
        "body_ja": "<p>新</p>",
        "body_en": "",
    }
    assert admin_client.post(f"{address}/change/", fields).status_code == 302
    page.refresh_from_db()
    assert (page.slug, page.title_ja, page.body_ja) == (slug, "新しい題", "<p>新</p>")


def test_a_page_of_the_shops_own_can_be_deleted_and_moved(admin_client: Client) -> None:
    page = build.content_page("news")
    address = f"/admin/shop/contentpage/{page.pk}"
    fields = {"slug": "letters", "title_ja": "便り", "title_en": "", "body_ja": "<p>新</p>", "body_en": ""}
    assert admin_client.post(f"{address}/change/", fields).status_code == 302
    assert ContentPage.objects.get().slug == "letters"
    assert admin_client.post(f"{address}/delete/", {"post": "yes"}).status_code == 302
    assert not ContentPage.objects.exists()
