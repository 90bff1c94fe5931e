"""What the stand-in's tests share: the real Stripe client, on a socket or in the same process."""

from collections.abc import Mapping
from typing import Any

import stripe

from kikaku.sandbox import Request, Sandbox

API_KEY = "sk_test_kikaku"
API_VERSION = "2026-08-26.dahlia"
SHOP = "http://127.0.0.1:8000"


class InProcess(stripe.HTTPClient):
    """A transport of the Stripe client that calls `Sandbox.handle` instead of opening a socket."""

    name = "in-process"

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__()
        self._sandbox = sandbox

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **_: Any
    ) -> tuple[str, int, Mapping[str, str]]:
        """Answer one request of the client."""
        target = "/" + url.split("/", 3)[3]
        body = post_data.encode() if isinstance(post_data, str) else (post_data or b"")
        response = self._sandbox.handle(Request(method.upper(), target, headers or {}, body))
        return response.body.decode(), response.status, {k.lower(): v for k, v in response.headers.items()}

    def close(self) -> None:
        """Do nothing: there is no connection."""


def in_process(sandbox: Sandbox, api_key: str = API_KEY) -> stripe.StripeClient:
    """Return a client that talks to the stand-in within this process."""
    return stripe.StripeClient(api_key, http_client=InProcess(sandbox), stripe_version=API_VERSION)


def over_socket(address: str, api_key: str = API_KEY) -> stripe.StripeClient:
    """Return a client that talks HTTP to a served stand-in."""
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
    """Create a session, take a voucher, pay it and return its charge."""
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
    """A clock that stands still until it is told to go on."""

    def __init__(self, start: float) -> None:
        self.now = start

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self.now += seconds
