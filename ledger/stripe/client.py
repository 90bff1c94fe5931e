"""The only module that talks to Stripe. Every call is short, bounded and typed; no key reaches a log.

Requests go over the network: to Stripe, or to STRIPE_API_BASE. Where that is empty, `settings.STRIPE_HTTP_CLIENT`
may name a function that returns another `stripe.HTTPClient`; production names none.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import stripe
from django.conf import settings
from django.utils import translation
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from ledger.models import CheckoutAttempt, Order, Refund
from ledger.stripe import methods, schema
from ledger.stripe.timestamps import to_timestamp

if TYPE_CHECKING:
    from stripe.params import RefundCreateParams
    from stripe.params.checkout import SessionCreateParams, SessionCreateParamsLineItem

TIMEOUT = (5.0, 10.0)  # seconds to connect, to read
NETWORK_RETRIES = 1  # a customer may be waiting; safe, since writes carry an idempotency key
SANDBOX_KEY = "sk_test_sandbox"
PAGE = 100  # Stripe's largest page


class StripeUnavailable(Exception):
    """Stripe did not answer, or answered that it can not now. The call may have worked: ask again."""


class StripeRefused(Exception):
    """Stripe understood and said no."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(f"{code}: {message}" if code else message)


# ── The connection ───────────────────────────────────────────────────────────────────────────────────────


@lru_cache(maxsize=8)
def networked(
    key: str,
    version: str,
    base: str,
    timeout: tuple[float, float] = TIMEOUT,
    retries: int = NETWORK_RETRIES,
) -> stripe.StripeClient:
    """Return a client over the network, to `base` or (empty) to Stripe; one for each set of arguments."""
    return stripe.StripeClient(
        key,
        stripe_version=version,
        base_addresses={"api": base} if base else {},
        max_network_retries=retries,
        http_client=stripe.RequestsClient(timeout=timeout),
    )


@lru_cache(maxsize=4)
def _client_over(transport: stripe.HTTPClient, version: str) -> stripe.StripeClient:
    return stripe.StripeClient(SANDBOX_KEY, stripe_version=version, http_client=transport)


def client() -> stripe.StripeClient:
    """Return the client of Stripe, or of the stand-in, with the pinned version, timeouts and retries."""
    if settings.STRIPE_HTTP_CLIENT and not settings.STRIPE_API_BASE:
        transport: stripe.HTTPClient = import_string(settings.STRIPE_HTTP_CLIENT)()
        return _client_over(transport, settings.STRIPE_API_VERSION)
    return networked(
        settings.STRIPE_SECRET_KEY or SANDBOX_KEY, settings.STRIPE_API_VERSION, settings.STRIPE_API_BASE
    )


@contextmanager
def errors() -> Iterator[None]:
    """Turn the library's exceptions into ours."""
    try:
        yield
    except (stripe.APIConnectionError, stripe.RateLimitError) as error:
        raise StripeUnavailable(_short(error)) from error
    except stripe.IdempotencyError as error:
        # the same key with other parameters: our mistake, no second attempt will help
        raise StripeRefused("idempotency_error", _short(error)) from error
    except stripe.StripeError as error:
        status = error.http_status or 500
        # 401 and 403 are a wrong or revoked key: the shop's trouble, not the order's. Below 400 nobody refused anything:
        # the body was no JSON.
        if status < 400 or status >= 500 or status in (401, 403, 409, 429):
            raise StripeUnavailable(_short(error)) from error
        raise StripeRefused(str(error.code or ""), _short(error)) from error
    except (schema.InvalidStripeObject, LookupError, TypeError, ValueError, AttributeError) as error:
        # what answered is not Stripe as we know it: the library stumbled over it, or we would
        raise StripeUnavailable(
            f"Stripe's answer was not understood: {type(error).__name__}: {error}"[:300]
        ) from error


def _short(error: stripe.StripeError) -> str:
    """Say what Stripe said; its texts show keys abbreviated only, ours not at all."""
    text = str(error.user_message or error)
    if settings.STRIPE_SECRET_KEY:
        text = text.replace(settings.STRIPE_SECRET_KEY, "…")
    return text[:300]


def _plain(told: stripe.StripeObject, kind: str) -> dict[str, Any]:
    """Give an answer as plain JSON once it is what it should be. Raises `InvalidStripeObject`: call it within `errors()`."""
    plain: dict[str, Any] = told.to_dict()
    schema.check(plain, kind)
    return plain


# ── Checkout ─────────────────────────────────────────────────────────────────────────────────────────────


def _line_items(order: Order) -> list["SessionCreateParamsLineItem"]:
    """What Stripe shows and charges: it adds up to `order.total` exactly. JPY has no decimals: never × 100."""
    items: list[SessionCreateParamsLineItem] = []
    for line in order.lines.order_by("position"):
        if line.discount:  # the discount is no multiple of the pieces: one line with its exact amount
            name, amount, quantity = f"{line.title} × {line.quantity}", line.total, 1
        else:
            name, amount, quantity = line.title, line.unit_price, line.quantity
        if amount:
            items.append(
                {
                    "quantity": quantity,
                    "price_data": {
                        "currency": "jpy",
                        "unit_amount": amount,
                        "product_data": {"name": name},
                    },
                }
            )
    if order.shipping_fee:
        items.append(
            {
                "quantity": 1,
                "price_data": {
                    "currency": "jpy",
                    "unit_amount": order.shipping_fee,
                    "product_data": {"name": _("Shipping fee")},
                },
            }
        )
    return items


def create_session(attempt: CheckoutAttempt, *, success_url: str, cancel_url: str) -> dict[str, Any]:
    """Create the Checkout Session of an attempt; repeating the call returns the same session.

    Stripe's page leads the customer to `success_url` after paying and to `cancel_url` on going back. Raises
    `StripeUnavailable`, `StripeRefused`.
    """
    order = attempt.order
    offered = methods.offered_methods(order.total)
    with translation.override(order.language):
        metadata = {"order": order.number, "attempt": str(attempt.pk)}
        params: SessionCreateParams = {
            "mode": "payment",
            "line_items": _line_items(order),
            "payment_method_types": [method.code for method in offered],
            "locale": "en" if order.language == "en" else "ja",
            "customer_email": order.email,
            "client_reference_id": order.number,
            "metadata": metadata,
            "payment_intent_data": {
                # the intent comes late and knows nothing of the session
                "metadata": metadata,
                "description": order.number,
                # with the default, automatic_async, the balance transaction may take an hour
                "capture_method": "automatic",
            },
            "expires_at": to_timestamp(attempt.expires_at),
            "success_url": success_url,
            "cancel_url": cancel_url,
        }
        options: Any = {
            method.code: method.session_options() for method in offered if method.session_options()
        }
        if options:
            params["payment_method_options"] = options
    with errors():
        session = client().v1.checkout.sessions.create(
            params, options={"idempotency_key": attempt.idempotency_key}
        )
        return _plain(session, "checkout.session")


def retrieve_session(session_id: str) -> dict[str, Any]:
    """Ask how a session stands, with its intent and charge. Raises `StripeUnavailable`, `StripeRefused`."""
    with errors():
        session = client().v1.checkout.sessions.retrieve(
            session_id, {"expand": ["payment_intent", "payment_intent.latest_charge"]}
        )
        return _plain(session, "checkout.session")


def expire_session(session_id: str) -> None:
    """Close an open payment page. Raises `StripeRefused` when it is not open, `StripeUnavailable`."""
    with errors():
        client().v1.checkout.sessions.expire(session_id)


# ── Refunds ──────────────────────────────────────────────────────────────────────────────────────────────


def create_refund(refund: Refund) -> dict[str, Any]:
    """Ask Stripe to send money back; the row's nonce is the key, so that it is sent once.

    Raises `StripeUnavailable`, `StripeRefused`.
    """
    params: RefundCreateParams = {
        "payment_intent": refund.payment.payment_intent,
        "amount": refund.amount,
        "metadata": {"order": refund.order.number, "refund": refund.nonce},
    }
    of_method: Any = methods.method_named(refund.payment.method).refund_params(refund)
    params.update(of_method)
    with errors():
        created = client().v1.refunds.create(
            params,
            options={"idempotency_key": f"refund-{refund.nonce}"},
        )
        return _plain(created, "refund")


def find_refund(refund: Refund) -> dict[str, Any] | None:
    """Look for a refund that may have reached Stripe while its answer was lost (keys last a day only)."""
    with errors():
        found = client().v1.refunds.list({"payment_intent": refund.payment.payment_intent, "limit": PAGE})
        for candidate in found.auto_paging_iter():
            found_refund = _plain(candidate, "refund")
            if (found_refund.get("metadata") or {}).get("refund") == refund.nonce:
                return found_refund
    return None


# ── What the books ask ───────────────────────────────────────────────────────────────────────────────────


def _listed(kind: str, created_from: datetime, created_until: datetime) -> Iterator[dict[str, Any]]:
    """Yield every object of a list with from ≤ `created` < until, newest first, page by page, as plain JSON.

    The library's own objects would cost ten times as much as the parsing: a busy day has 100,000 of them.
    Raises `StripeUnavailable`, `StripeRefused` while iterating.
    """
    params: dict[str, Any] = {
        "created": {"gte": to_timestamp(created_from), "lt": to_timestamp(created_until)},
        "limit": PAGE,
    }
    more = True
    while more:
        with errors():
            page: Any = client().raw_request("get", f"/v1/{kind}s", **params).data
            for told in page["data"]:
                schema.check(told, kind)
            more = page["has_more"]
            if more and page["data"][-1]["id"] == params.get("starting_after"):
                raise schema.InvalidStripeObject("the same page came again")
            params["starting_after"] = page["data"][-1]["id"] if more else None
        yield from page["data"]


def list_balance_transactions(created_from: datetime, created_until: datetime) -> Iterator[dict[str, Any]]:
    """Yield the balance transactions as `_listed` does."""
    return _listed("balance_transaction", created_from, created_until)


def list_charges(created_from: datetime, created_until: datetime) -> Iterator[dict[str, Any]]:
    """Yield the charges as `_listed` does."""
    return _listed("charge", created_from, created_until)


def list_refunds(created_from: datetime, created_until: datetime) -> Iterator[dict[str, Any]]:
    """Yield the refunds as `_listed` does."""
    return _listed("refund", created_from, created_until)


def retrieve_charge(charge_id: str) -> dict[str, Any]:
    """Ask for one charge. Raises `StripeUnavailable`, `StripeRefused`."""
    with errors():
        return _plain(client().v1.charges.retrieve(charge_id), "charge")


def retrieve_refund(refund_id: str) -> dict[str, Any]:
    """Ask for one refund. Raises `StripeUnavailable`, `StripeRefused`."""
    with errors():
        return _plain(client().v1.refunds.retrieve(refund_id), "refund")


def retrieve_balance() -> int:
    """Return Stripe's balance in JPY, available and pending together.

    Raises `StripeUnavailable`, `StripeRefused`.
    """
    with errors():
        balance = _plain(client().v1.balance.retrieve(), "balance")
    return sum(
        part["amount"] for part in balance["available"] + balance["pending"] if part["currency"] == "jpy"
    )
