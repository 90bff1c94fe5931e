"""The contact form."""

import pytest
from django.test import Client

from shop.models import ContactMessage
from shop.testing import build

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
    page = answer.content.decode()
    assert answer.status_code == 422
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
