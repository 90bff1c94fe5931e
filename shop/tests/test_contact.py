"""The contact form."""

import pytest
from django.test import Client

from shop.models import ContactMessage
from shop.testing import build

pytestmark = pytest.mark.django_db
WRITTEN = {
    "name": "山田 花子",
    "email": "hanako@example.jp",
    "order_number": "K261122-ABCDE",
    "message": "明るさは？",
}


def nonce(client: Client) -> str:
    """Open the form and return its nonce."""
    return build.hidden(client.get("/contact/").content.decode(), "nonce")


def test_a_message_is_stored_once_however_often_one_clicks(client: Client) -> None:
    sent = WRITTEN | {"nonce": nonce(client)}
    for _click in range(2):
        assert client.post("/contact/", sent)["Location"] == "/contact/sent/"
    message = ContactMessage.objects.get()
    assert (message.name, message.order_number, message.message) == (
        "山田 花子",
        "K261122-ABCDE",
        "明るさは？",
    )
    assert "お問い合わせありがとうございます" in client.get("/contact/sent/").content.decode()


def test_a_robot_that_fills_in_the_hidden_field_is_thanked_and_forgotten(client: Client) -> None:
    answer = client.post("/contact/", WRITTEN | {"nonce": nonce(client), "website": "https://spam.example"})
    assert answer["Location"] == "/contact/sent/"
    assert not ContactMessage.objects.exists()


@pytest.mark.parametrize(
    ("name", "typed"),
    [("name", ""), ("email", "x"), ("message", ""), ("message", "あ" * 5001), ("name", "あ" * 101)],
)
def test_a_wrong_field_is_named_and_nothing_typed_is_lost(client: Client, name: str, typed: str) -> None:
    key = nonce(client)
    answer = client.post("/contact/", WRITTEN | {"nonce": key, name: typed})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert f'id="id_{name}_error"' in page
    assert "K261122-ABCDE" in page
    assert build.hidden(page, "nonce") == key
    assert not ContactMessage.objects.exists()


def test_a_missing_nonce_loses_no_message(client: Client) -> None:
    client.post("/contact/", WRITTEN | {"nonce": ""})
    client.post("/contact/", WRITTEN | {"nonce": "<>"})
    assert ContactMessage.objects.count() == 2


def test_the_question_about_an_order_brings_its_number_along(client: Client) -> None:
    assert 'value="K261122-ABCDE"' in client.get("/contact/?order=K261122-ABCDE").content.decode()


def test_opening_the_form_begins_no_session(client: Client) -> None:
    assert not client.get("/contact/").cookies
