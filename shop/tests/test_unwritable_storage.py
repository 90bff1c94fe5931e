"""Without a writable database or disk customers can read, get an explanation, and lose nothing."""

import io
import resource
import socket

import pytest
from botocore.config import Config
from django.test import Client
from PIL import Image
from pytest_django import Settings

from kikaku.sandbox import Sandbox
from kikaku.testing.database import on_d1
from ledger.models import Order, StockItem, StripeEvent
from ledger.testing import build as books
from ledger.testing.crashes.lock import database_unwritable, not_on_postgresql
from shop.models import Picture
from shop.testing import build
from shop.testing.admin import form, with_picture
from shop.testing.checkout import confirmation, place

pytestmark = pytest.mark.django_db(transaction=True)


@not_on_postgresql
def test_an_order_that_cannot_be_stored_can_be_placed_later_with_the_same_form(
    client: Client, sandbox: Sandbox
) -> None:
    build.product()
    build.content_page()
    build.content_page("returns", "返品・交換について")
    build.fill_cart(client, ("SKU-madoka", 1))
    page = confirmation(client)
    client.raise_request_exception = False
    with database_unwritable():
        answer = place(client, page)
        if not on_d1():  # there nothing can be read either
            assert client.get("/products/madoka/").status_code == 200
    assert (answer.status_code, answer["Retry-After"]) == (503, "30")
    assert "カートの中身はブラウザに残っています" in answer.content.decode()
    assert not Order.objects.exists() and StockItem.objects.get().reserved == 0
    assert place(client, page).status_code == 303
    assert Order.objects.count() == 1


@not_on_postgresql
def test_a_webhook_that_cannot_be_stored_is_answered_with_500(client: Client, sandbox: Sandbox) -> None:
    sandbox.pay(books.session_of(books.order()))
    for delivery in sandbox.pending_deliveries():
        signature = delivery.headers["Stripe-Signature"]
        with database_unwritable():
            refused = client.post(
                "/webhooks/stripe",
                delivery.body,
                content_type="application/json",
                headers={"Stripe-Signature": signature},
            )
        assert refused.status_code == 500 and "again" in refused.json()["error"]
    assert not StripeEvent.objects.exists()
    books.deliver(sandbox)
    assert Order.objects.get().status == "paid"


def test_a_picture_that_does_not_fit_on_the_disk_saves_nothing_and_is_reported(admin_client: Client) -> None:
    product = build.product(picture=False)
    page = f"/admin/shop/product/{product.pk}/change/"
    written = io.BytesIO()
    Image.effect_noise((500, 500), 90).save(written, "JPEG")  # noise stays heavy when it is encoded anew
    heavy = written.getvalue()
    admin_client.get(page)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    try:
        answer = admin_client.post(page, form(product, title_ja="別の灯り") | with_picture("a.jpg", heavy))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert answer.status_code == 302
    assert "画像を保管できませんでした" in admin_client.get(page).content.decode()
    product.refresh_from_db()
    assert product.title_ja != "別の灯り" and not Picture.objects.exists()
    assert admin_client.post(page, form(product) | with_picture("a.jpg", heavy)).status_code == 302
    assert Picture.objects.count() == 1


@pytest.mark.engine_independent
def test_a_picture_that_r2_does_not_take_saves_nothing_and_is_reported(
    admin_client: Client, settings: Settings
) -> None:
    product = build.product(picture=False)
    page = f"/admin/shop/product/{product.pk}/change/"
    written = io.BytesIO()
    Image.new("RGB", (50, 50)).save(written, "JPEG")
    with socket.socket() as unused:  # bound and not listening: the port refuses connections and stays ours
        unused.bind(("127.0.0.1", 0))
        r2 = {
            "endpoint_url": f"http://127.0.0.1:{unused.getsockname()[1]}",
            "bucket_name": "pictures",
            "access_key": "x",
            "secret_key": "x",
            "region_name": "auto",
            "client_config": Config(retries={"max_attempts": 0}),
        }
        storage = {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": r2}
        settings.STORAGES = {**settings.STORAGES, "default": storage}
        answer = admin_client.post(
            page, form(product, title_ja="別の灯り") | with_picture("a.jpg", written.getvalue())
        )
        assert answer.status_code == 302
        assert "画像を保管できませんでした" in admin_client.get(page).content.decode()
    product.refresh_from_db()
    assert product.title_ja != "別の灯り" and not Picture.objects.exists()
