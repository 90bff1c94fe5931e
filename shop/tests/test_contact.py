"""The contact form."""

import re
from datetime import timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from ledger.models import OutgoingMail
from ledger.sales import mail
from ledger.testing import build as books
from shop.models import ContactMessage
from shop.testing import build
from shop.testing.redirects import followed

pytestmark = pytest.mark.django_db
MESSAGE = {
    "name": "山田 花子",
    "email": "hanako@example.jp",
    "order_number": "K261122-ABCDE",
    "message": "明るさは？",
}


def nonce(client: Client) -> str:
    """Open the form and return its nonce."""
    return build.hidden(client.get("/contact/").content.decode(), "nonce")


def test_two_clicks_store_one_message(client: Client) -> None:
    sent = MESSAGE | {"nonce": nonce(client)}
    for _click in range(2):
        assert client.post("/contact/", sent)["Location"] == "/contact/sent/"
    message = ContactMessage.objects.get()
    assert (message.name, message.order_number, message.message) == (
        "山田 花子",
        "K261122-ABCDE",
        "明るさは？",
    )
    assert "お問い合わせありがとうございます" in client.get("/contact/sent/").content.decode()


def test_a_message_with_a_filled_hidden_field_is_not_stored(client: Client) -> None:
    answer = client.post("/contact/", MESSAGE | {"nonce": nonce(client), "website": "https://spam.example"})
    assert answer["Location"] == "/contact/sent/"
    assert not ContactMessage.objects.exists()


@pytest.mark.parametrize(
    ("name", "typed"),
    [("name", ""), ("email", "x"), ("message", ""), ("message", "あ" * 5001), ("name", "あ" * 101)],
)
def test_an_invalid_field_has_its_message_and_typed_values_are_kept(
    client: Client, name: str, typed: str
) -> None:
    key = nonce(client)
    answer = client.post("/contact/", MESSAGE | {"nonce": key, name: typed})
    assert MESSAGE["email"] not in answer["Location"]
    page = followed(client, answer)
    assert f'id="id_{name}_error"' in page
    assert "K261122-ABCDE" in page
    assert build.hidden(page, "nonce") == key
    assert not ContactMessage.objects.exists()


def test_a_missing_nonce_loses_no_message(client: Client) -> None:
    client.post("/contact/", MESSAGE | {"nonce": ""})
    client.post("/contact/", MESSAGE | {"nonce": "<>"})
    assert ContactMessage.objects.count() == 2


def test_the_form_is_filled_with_the_order_number_of_the_link(client: Client) -> None:
    assert 'value="K261122-ABCDE"' in client.get("/contact/?order=K261122-ABCDE").content.decode()


def test_opening_the_form_starts_no_session(client: Client) -> None:
    assert not client.get("/contact/").cookies


# ── The confirmation ─────────────────────────────────────────────────────────────────────────────────────


def test_a_message_is_confirmed_by_mail_once_in_its_language(client: Client) -> None:
    for prefix in ("", "/en"):
        page = client.get(f"{prefix}/contact/").content.decode()
        for _click in range(2):
            client.post(f"{prefix}/contact/", MESSAGE | {"nonce": build.hidden(page, "nonce")})
    japanese, english = OutgoingMail.objects.order_by("pk")
    assert (japanese.to, japanese.order_id, japanese.kind) == ("hanako@example.jp", None, "message_received")
    assert "お問い合わせを受け付けました" in japanese.subject and "1 営業日以内" in japanese.text
    assert "received your message" in english.subject
    assert not re.search("[ぁ-ん]", english.subject + english.text + english.html)
    assert mail.send_due(now=timezone.now()) == 2
    assert set(OutgoingMail.objects.values_list("status", flat=True)) == {"sent"}


def test_the_confirmation_repeats_nothing_that_was_typed(client: Client) -> None:
    order = books.order()
    typed = {"name": "http://evil.example 花子", "message": "http://evil.example/win", "order_number": "evil"}
    client.post("/contact/", MESSAGE | typed)
    client.post("/contact/", MESSAGE | typed | {"order_number": order.number.lower()})
    first, second = OutgoingMail.objects.order_by("pk")
    for letter in (first, second):
        assert "evil" not in letter.text + letter.html + letter.subject and "花子" not in letter.text
    assert order.number in second.text and order.token not in second.text + second.html


def test_one_address_gets_three_confirmations_a_day(client: Client) -> None:
    for email in ("hanako@example.jp", "Hanako@example.jp", "hanako@EXAMPLE.jp", "HANAKO@example.jp"):
        client.post("/contact/", MESSAGE | {"email": email})
    client.post("/contact/", MESSAGE | {"email": "taro@example.jp"})
    assert ContactMessage.objects.count() == 5
    assert OutgoingMail.objects.filter(to__iexact="hanako@example.jp").count() == 3
    assert OutgoingMail.objects.filter(to="taro@example.jp").count() == 1
    OutgoingMail.objects.update(created_at=timezone.now() - timedelta(days=1, minutes=1))
    client.post("/contact/", MESSAGE)
    assert OutgoingMail.objects.filter(to__iexact="hanako@example.jp").count() == 4


def test_a_robots_message_is_not_confirmed(client: Client) -> None:
    client.post("/contact/", MESSAGE | {"website": "https://spam.example"})
    assert not OutgoingMail.objects.exists()


# ── The product ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("on_hand", [3, 0])
def test_a_question_about_a_product_carries_the_product(client: Client, on_hand: int) -> None:
    product = build.product(on_hand=on_hand)
    shown = client.get("/products/madoka/").content.decode()
    links = re.findall(r'href="(/contact/[^"]*)"', shown)
    assert links.count("/contact/?product=madoka") == (1 if on_hand else 2)
    form = client.get("/contact/?product=madoka").content.decode()
    assert "シーリングライト まどか" in form and build.hidden(form, "product") == "madoka"
    typed = MESSAGE | {"nonce": build.hidden(form, "nonce"), "product": "madoka"}
    again = followed(client, client.post("/contact/", typed | {"message": ""}))
    assert build.hidden(again, "product") == "madoka"
    client.post("/contact/", typed)
    assert ContactMessage.objects.get().product == product
    assert "シーリングライト まどか" in OutgoingMail.objects.get().text


@pytest.mark.parametrize("slug", ["nothing", "<script>", "x" * 5000, "\x00"])
def test_a_product_that_does_not_exist_is_left_out(client: Client, slug: str) -> None:
    assert client.get("/contact/", {"product": slug}).status_code == 200
    assert client.post("/contact/", MESSAGE | {"product": slug}).status_code == 303
    assert ContactMessage.objects.get().product is None


# ── The admin ────────────────────────────────────────────────────────────────────────────────────────────


def test_staff_see_lines_a_reply_link_and_the_order(client: Client, admin_client: Client) -> None:
    order = books.order()
    text = "一行目\n\n<b>三行目</b> & 'x'"
    client.post("/contact/", MESSAGE | {"message": text, "order_number": order.number.lower()})
    page = admin_client.get(f"/admin/shop/contactmessage/{ContactMessage.objects.get().pk}/change/")
    shown = page.content.decode()
    assert re.search(r"pre-wrap[^>]*>一行目\n\n&lt;b&gt;三行目", shown.replace("\r", ""))
    assert f'href="/admin/ledger/order/{order.pk}/change/"' in shown
    [link] = re.findall(r'href="(mailto:[^"]*)"', shown)
    address = urlsplit(link.replace("&amp;", "&"))
    written = parse_qs(address.query)
    assert unquote(address.path) == "hanako@example.jp"
    assert written["subject"] == ["Re: LED企画へのお問い合わせ"]
    assert "> 一行目\n> \n> <b>三行目</b> & 'x'" in written["body"][0]
    listed = admin_client.get("/admin/shop/contactmessage/").content.decode()
    assert f'href="/admin/ledger/order/{order.pk}/change/"' in listed


def test_a_number_of_no_order_is_no_link(client: Client, admin_client: Client) -> None:
    client.post("/contact/", MESSAGE | {"order_number": "<b>1</b>"})
    page = admin_client.get("/admin/shop/contactmessage/").content.decode()
    assert "&lt;b&gt;1&lt;/b&gt;" in page and "/admin/ledger/order/None" not in page


def test_a_list_of_messages_takes_the_same_queries_however_many_they_are(
    client: Client, admin_client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    build.product()
    for number in range(6):
        client.post("/contact/", MESSAGE | {"order_number": books.order().number, "product": "madoka"})
        if number == 0:
            with CaptureQueriesContext(connection) as one:
                admin_client.get("/admin/shop/contactmessage/")
            count = len(one)
    with django_assert_max_num_queries(count):
        admin_client.get("/admin/shop/contactmessage/")
