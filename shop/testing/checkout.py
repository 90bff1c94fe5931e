"""The steps of the checkout, as a customer's browser takes them."""

from typing import Any

from django.test import Client

from shop.testing import build


def confirmation(client: Client) -> str:
    """Type the address and return the confirmation page."""
    build.type_address(client)
    return client.get("/checkout/confirm/").content.decode()


def place(client: Client, page: str) -> Any:
    """Press the button of a confirmation page."""
    fields = {name: build.hidden(page, name) for name in ("nonce", "fingerprint")}
    return client.post("/checkout/place/", fields)
