"""Signed deliveries to the webhook's address, as Stripe sends them."""

import json
import time
from typing import Any

import stripe
from django.test import Client

URL = "/webhooks/stripe"


def sign(body: bytes, secret: str, *, at: int | None = None) -> str:
    """Return the Stripe-Signature header of a body."""
    moment = at or int(time.time())
    payload = f"{moment}.{body.decode()}"
    return f"t={moment},v1={stripe.WebhookSignature._compute_signature(payload, secret)}"


def post(client: Client, body: bytes, signature: str) -> Any:
    """Post a delivery to the webhook and return the response."""
    return client.post(URL, body, content_type="application/json", headers={"Stripe-Signature": signature})


def event(**changes: object) -> bytes:
    """Return the body of an event of a type that we do not handle."""
    fields: dict[str, object] = {
        "id": "evt_1",
        "type": "customer.created",
        "created": 1_790_000_000,
        "livemode": False,
        "api_version": "2026-08-26.dahlia",
        "data": {"object": {"id": "cus_1"}},
    }
    return json.dumps(fields | changes).encode()
