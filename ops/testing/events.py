"""Stripe events as Stripe sends them."""

import json
import secrets
import time

from django.conf import settings


def signed_event() -> tuple[bytes, str]:
    """Return an event without effect, and its signature."""
    import stripe

    body = json.dumps(
        {
            "id": "evt_" + secrets.token_hex(8),
            "type": "charge.pending",
            "livemode": False,
            "created": int(time.time()),
            "data": {"object": {}},
        }
    )
    at = int(time.time())
    secret = settings.STRIPE_WEBHOOK_SECRETS[0]
    signature = stripe.WebhookSignature._compute_signature(f"{at}.{body}", secret)
    return body.encode(), f"t={at},v1={signature}"
