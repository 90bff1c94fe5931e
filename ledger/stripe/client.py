"""The only module that calls Stripe: with timeouts, checked answers, and no API key in a log.

Every function returns plain JSON whose fields `schema` has checked. Each raises `StripeUnavailable` or
`StripeRefused`, and none may be called inside a transaction.

Requests go to Stripe, or to STRIPE_API_BASE. Where that is empty, `settings.STRIPE_HTTP_CLIENT` may name a
function that returns another `stripe.HTTPClient`; production names none.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import stripe
from django.conf import settings
from django.utils import timezone, translation
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from kikaku.transactions import forbid_transaction
from ledger.models import CheckoutAttempt, Order, Refund
from ledger.stripe import methods, schema
from ledger.stripe.account import AccountAnswer, is_live_key, owner_of_books, read_date
from ledger.stripe.addresses import is_standard
from ledger.stripe.timestamps import to_timestamp

if TYPE_CHECKING:
    from stripe.params import RefundCreateParams
    from stripe.params.checkout import SessionCreateParams, SessionCreateParamsLineItem

logger = logging.getLogger(__name__)

CALL_TIMEOUT = (5.0, 10.0)  # seconds to connect, to read
NETWORK_RETRIES = 1  # a customer may be waiting; safe, since writes carry an idempotency key
SANDBOX_KEY = "sk_test_sandbox"
MAX_CLOCK_DIFFERENCE = timedelta(minutes=5)
MAX_COMPARED = 8  # clients of one process: tests have one each
MAX_PAGE_SIZE = 100  # of Stripe's lists


class StripeUnavailable(Exception):
    """Stripe did not answer, or cannot now. The call may have succeeded; it can be repeated later."""


class ForeignAccount(StripeUnavailable):
    """The API key belongs to another account or mode than the books: nothing is asked and nothing written."""


class StripeRefused(Exception):
    """Stripe refused the call; `code` is Stripe's code of the error and may be empty."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(f"{code}: {message}" if code else message)


# ── The connection ───────────────────────────────────────────────────────────────────────────────────────


@lru_cache(maxsize=8)
def network_client(
    key: str,
    version: str,
    base: str,
    timeout: tuple[float, float] = CALL_TIMEOUT,
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
    """Return the client of Stripe, or of the stand-in, with the pinned version, timeouts and retries.

    The first call of a process, of a job and of a close compares the key's account with that of the books.

    Raises `RuntimeError` inside a transaction: rows must not stay locked during a call. Raises
    `ForeignAccount`, and `StripeUnavailable` when Stripe does not say whose the key is.
    """
    connected = _connection()
    if connected not in _compared:
        ask_account()
    return connected


def _connection() -> stripe.StripeClient:
    forbid_transaction()
    if settings.STRIPE_HTTP_CLIENT and not settings.STRIPE_API_BASE:
        transport: stripe.HTTPClient = import_string(settings.STRIPE_HTTP_CLIENT)()
        return _client_over(transport, settings.STRIPE_API_VERSION)
    return network_client(
        settings.STRIPE_SECRET_KEY or SANDBOX_KEY, settings.STRIPE_API_VERSION, settings.STRIPE_API_BASE
    )


_compared: set[stripe.StripeClient] = set()  # clients whose account is the books'


def forget_account() -> None:
    """Let the next call compare the key's account with the books' again."""
    _compared.clear()


def ask_account() -> AccountAnswer:
    """Ask Stripe for the account of our key, and compare it with the account that the books belong to.

    At the first use of a key the account is stored. Raises `ForeignAccount`, `StripeUnavailable`,
    `StripeRefused`.
    """
    connected = _connection()
    with translated_errors():
        response = connected.raw_request("get", "/v1/account")
        schema.check(response.data, "account")
        answer = AccountAnswer(
            id=response.data["id"],
            live=is_live_key(settings.STRIPE_SECRET_KEY),
            stripe_now=read_date(response.headers),
        )
    ahead = timezone.now() - answer.stripe_now
    if abs(ahead) > MAX_CLOCK_DIFFERENCE and not settings.SANDBOX:  # the stand-in's clock may be set
        logger.warning("the clock of this machine is %s ahead of Stripe's", ahead)
    owner = owner_of_books(answer, now=timezone.now())
    if (owner.account, owner.live) != (answer.id, answer.live):
        _compared.discard(connected)
        raise ForeignAccount(
            f"the books belong to the Stripe account {owner}, the API key to {answer}. "
            "Set the key of the books' account, or use another database"
        )
    if len(_compared) > MAX_COMPARED:
        _compared.clear()
    _compared.add(connected)
    return answer


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise the library's exceptions in the block as `StripeUnavailable` or `StripeRefused`."""
    try:
        yield
    except (stripe.APIConnectionError, stripe.RateLimitError) as error:
        raise StripeUnavailable(_message_of(error)) from error
    except stripe.IdempotencyError as error:
        # the same key with other parameters: a retry would fail again
        raise StripeRefused("idempotency_error", _message_of(error)) from error
    except stripe.StripeError as error:
        status = error.http_status or 500
        logger.warning("Stripe answered request %s: %d %s", error.request_id, status, error.code)
        # 401 and 403 are a wrong or revoked API key: a matter of the shop, not of the order. Below 400 Stripe
        # refused nothing: the body was not JSON.
        if status < 400 or status >= 500 or status in (401, 403, 409, 429):
            raise StripeUnavailable(_message_of(error)) from error
        raise StripeRefused(str(error.code or ""), _message_of(error)) from error
    except (schema.InvalidStripeObject, LookupError, TypeError, ValueError, AttributeError) as error:
        # the library or our code could not read the answer
        raise StripeUnavailable(
            f"Stripe's answer was not understood: {type(error).__name__}: {error}"[:300]
        ) from error


def _message_of(error: stripe.StripeError) -> str:
    """Return Stripe's message without our API key; Stripe's own texts abbreviate keys."""
    text = str(error.user_message or error)
    if settings.STRIPE_SECRET_KEY:
        text = text.replace(settings.STRIPE_SECRET_KEY, "…")
    return text[:300]


def _request_id(answer: stripe.StripeObject) -> str:
    """Return Stripe's id of the request, by which its dashboard and support find it; "" if it has none."""
    response: Any = getattr(answer, "last_response", None)
    return str(getattr(response, "request_id", None) or "")


def _checked(answer: stripe.StripeObject, kind: str) -> dict[str, Any]:
    """Return an answer as plain JSON after checking it. Raises `InvalidStripeObject`."""
    logger.info("Stripe answered request %s: %s", _request_id(answer), kind)
    checked: dict[str, Any] = answer.to_dict()
    schema.check(checked, kind)
    return checked


def foreign_account() -> str:
    """Return why the API key must not be used; empty when it is the books', or Stripe does not answer.

    For the start of a process, which an outage of Stripe must not prevent.
    """
    try:
        ask_account()
    except ForeignAccount as error:
        return f"This is not the Stripe account of the books: {error}."
    except (StripeUnavailable, StripeRefused) as error:
        logger.warning("Stripe does not say whose the API key is; the first call asks again: %s", error)
    return ""


# ── Checkout ─────────────────────────────────────────────────────────────────────────────────────────────


def _line_items(order: Order) -> list["SessionCreateParamsLineItem"]:
    """Return what Stripe shows and charges: `order.total` in sum. JPY has no decimals: never × 100."""
    items: list[SessionCreateParamsLineItem] = []
    for line in order.lines.order_by("position"):
        if line.discount:  # it may not divide by the quantity: one item with the exact amount
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

    Stripe's page leads the customer to `success_url` after paying and to `cancel_url` on going back.
    """
    order = attempt.order
    offered = methods.offered_methods(order.total, vouchers=attempt.offers_vouchers is not False)
    with translation.override(order.language):
        metadata = {"order": order.number, "attempt": str(attempt.pk)}
        params: SessionCreateParams = {
            "mode": "payment",
            "line_items": _line_items(order),
            "payment_method_types": [method.code for method in offered],
            "locale": "en" if order.language == "en" else "ja",
            "client_reference_id": order.number,
            "metadata": metadata,
            "payment_intent_data": {
                # events of the intent do not contain the session
                "metadata": metadata,
                "description": order.number,
                # with the default, automatic_async, the balance transaction may take an hour
                "capture_method": "automatic",
            },
            "expires_at": to_timestamp(attempt.expires_at),
            "success_url": success_url,
            "cancel_url": cancel_url,
        }
        if is_standard(order.email):
            params["customer_email"] = order.email
        options: Any = {
            method.code: method.session_options() for method in offered if method.session_options()
        }
        if options:
            params["payment_method_options"] = options
    with translated_errors():
        session = client().v1.checkout.sessions.create(
            params, options={"idempotency_key": attempt.idempotency_key}
        )
        return _checked(session, "checkout.session")


def retrieve_session(session_id: str) -> dict[str, Any]:
    """Return a session with its intent and charge."""
    with translated_errors():
        session = client().v1.checkout.sessions.retrieve(
            session_id, {"expand": ["payment_intent", "payment_intent.latest_charge"]}
        )
        return _checked(session, "checkout.session")


def expire_session(session_id: str) -> None:
    """Close an open payment page. Raises `StripeRefused` when it is not open."""
    with translated_errors():
        client().v1.checkout.sessions.expire(session_id)


# ── Refunds ──────────────────────────────────────────────────────────────────────────────────────────────


def create_refund(refund: Refund) -> dict[str, Any]:
    """Create a refund at Stripe; the row's nonce is the idempotency key, so that the money is sent once."""
    params: RefundCreateParams = {
        "payment_intent": refund.payment.payment_intent,
        "amount": refund.amount,
        "metadata": {"order": refund.order.number, "refund": refund.nonce},
    }
    method_params: Any = methods.method_named(refund.payment.method).refund_params(refund)
    params.update(method_params)
    with translated_errors():
        created = client().v1.refunds.create(
            params,
            options={"idempotency_key": f"refund-{refund.nonce}"},
        )
        return _checked(created, "refund")


def find_refund(refund: Refund) -> dict[str, Any] | None:
    """Return a refund that Stripe created although its answer was lost; idempotency keys last a day only."""
    listing: Any = {"payment_intent": refund.payment.payment_intent, "limit": MAX_PAGE_SIZE}
    try:
        with translated_errors():
            for candidate in client().v1.refunds.list(listing).auto_paging_iter():
                found = _checked(candidate, "refund")
                if (found.get("metadata") or {}).get("refund") == refund.nonce:
                    return found
    except StripeRefused as refusal:
        if refusal.code != "resource_missing":  # a payment that Stripe does not know has no refunds
            raise
    return None


# ── For the books ──────────────────────────────────────────────────────────────────────────────────────


def _list(kind: str, created_from: datetime, created_until: datetime) -> Iterator[dict[str, Any]]:
    """Yield every object of a list with from ≤ `created` < until, newest first, page by page, as plain JSON.

    A busy day has 100,000 of them, and the library's objects would cost ten times as much as the parsing.
    """
    params: dict[str, Any] = {
        "created": {"gte": to_timestamp(created_from), "lt": to_timestamp(created_until)},
        "limit": MAX_PAGE_SIZE,
    }
    more = True
    while more:
        with translated_errors():
            page: Any = client().raw_request("get", f"/v1/{kind}s", **params).data
            for listed in page["data"]:
                schema.check(listed, kind)
            more = page["has_more"]
            if more and page["data"][-1]["id"] == params.get("starting_after"):
                raise schema.InvalidStripeObject("the same page came again")
            params["starting_after"] = page["data"][-1]["id"] if more else None
        yield from page["data"]


def list_balance_transactions(created_from: datetime, created_until: datetime) -> Iterator[dict[str, Any]]:
    """Yield the balance transactions with from ≤ `created` < until, newest first."""
    return _list("balance_transaction", created_from, created_until)


def list_charges(created_from: datetime, created_until: datetime) -> Iterator[dict[str, Any]]:
    """Yield the charges with from ≤ `created` < until, newest first."""
    return _list("charge", created_from, created_until)


def list_refunds(created_from: datetime, created_until: datetime) -> Iterator[dict[str, Any]]:
    """Yield the refunds with from ≤ `created` < until, newest first."""
    return _list("refund", created_from, created_until)


def retrieve_charge(charge_id: str) -> dict[str, Any]:
    """Return one charge."""
    with translated_errors():
        return _checked(client().v1.charges.retrieve(charge_id), "charge")


def retrieve_refund(refund_id: str) -> dict[str, Any]:
    """Return one refund."""
    with translated_errors():
        return _checked(client().v1.refunds.retrieve(refund_id), "refund")


def retrieve_balance() -> int:
    """Return Stripe's balance in JPY, available and pending together."""
    with translated_errors():
        balance = _checked(client().v1.balance.retrieve(), "balance")
    return sum(
        part["amount"] for part in balance["available"] + balance["pending"] if part["currency"] == "jpy"
    )
