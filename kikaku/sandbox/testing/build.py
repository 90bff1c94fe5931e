"""Shared by the stand-in's tests: Stripe's real client, over a socket or in the same process."""

from typing import Any

import stripe

from kikaku.sandbox import Sandbox
from kikaku.sandbox.adapter import InProcessClient

API_KEY = "sk_test_kikaku"
API_VERSION = "2026-08-26.dahlia"
SHOP = "http://127.0.0.1:8000"


def in_process(sandbox: Sandbox, api_key: str = API_KEY) -> stripe.StripeClient:
    """Return a client of the stand-in within this process."""
    return stripe.StripeClient(api_key, http_client=InProcessClient(sandbox), stripe_version=API_VERSION)


def over_socket(address: str, api_key: str = API_KEY) -> stripe.StripeClient:
    """Return a client of a served stand-in over HTTP."""
    return stripe.StripeClient(
        api_key,
        base_addresses={"api": address},
        stripe_version=API_VERSION,
        http_client=stripe.UrllibClient(),
    )


def session_params(total: int = 12_130, **more: Any) -> Any:
    """Return the parameters of a Checkout Session as the shop sends them."""
    return {
        "mode": "payment",
        "locale": "ja",
        "customer_email": "hanako@example.jp",
        "client_reference_id": "A-1001",
        "success_url": SHOP + "/thanks/?session={CHECKOUT_SESSION_ID}",
        "cancel_url": SHOP + "/cart/",
        "payment_method_types": ["card"],
        "line_items": [
            {
                "quantity": 1,
                "price_data": {
                    "currency": "jpy",
                    "unit_amount": total,
                    "product_data": {"name": "シーリングライト 8畳"},
                },
            }
        ],
        "payment_intent_data": {"capture_method": "automatic", "metadata": {"order": "A-1001"}},
        "metadata": {"order": "A-1001"},
        **more,
    }


def new_session(client: stripe.StripeClient, total: int = 12_130, **more: Any) -> stripe.checkout.Session:
    """Create a session for `total` JPY."""
    return client.v1.checkout.sessions.create(session_params(total, **more))


def konbini_session(
    client: stripe.StripeClient, total: int = 12_130, *, days: int | None = None, **more: Any
) -> stripe.checkout.Session:
    """Create a session for `total` JPY that can be paid by card or at a convenience store."""
    options = {} if days is None else {"payment_method_options": {"konbini": {"expires_after_days": days}}}
    return new_session(client, total, payment_method_types=["card", "konbini"], **options, **more)


def paid_at_konbini(
    client: stripe.StripeClient, sandbox: Sandbox, total: int = 12_130, **more: Any
) -> stripe.Charge:
    """Create a session, pay it by voucher and return its charge."""
    session = konbini_session(client, total, **more)
    sandbox.choose_konbini(session.id)
    result = sandbox.pay_voucher(session.id)
    assert result.charge is not None, result
    return client.v1.charges.retrieve(result.charge, {"expand": ["balance_transaction"]})


def paid(
    client: stripe.StripeClient,
    sandbox: Sandbox,
    total: int = 12_130,
    card: str = "4242424242424242",
    **more: Any,
) -> stripe.Charge:
    """Create a session, pay it and return its charge."""
    result = sandbox.pay(new_session(client, total, **more).id, card=card)
    assert result.charge is not None, result
    return client.v1.charges.retrieve(result.charge, {"expand": ["balance_transaction"]})


def event_types(client: stripe.StripeClient) -> list[str]:
    """Return the types of all events, oldest first."""
    return [str(event.type) for event in client.v1.events.list({"limit": 100}).data][::-1]


class Clock:
    """A clock that moves only by `forward`."""

    def __init__(self, start: float) -> None:
        self.now = start

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        """Move the clock by `seconds`."""
        self.now += seconds
