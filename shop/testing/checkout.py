"""The steps of the checkout as a browser sends them."""

from typing import Any

from django.test import Client

from shop.testing import build


def confirmation(client: Client) -> str:
    """Submit the address and return the confirmation page."""
    build.type_address(client)
    return client.get("/checkout/confirm/").content.decode()


def place(client: Client, page: str) -> Any:
    """Submit the form of a confirmation page."""
    fields = {name: build.hidden(page, name) for name in ("nonce", "fingerprint")}
    return client.post("/checkout/place/", fields)
