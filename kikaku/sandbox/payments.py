"""Payments: intents, charges and their records, common to all payment methods."""

from dataclasses import dataclass
from typing import Any, Literal

from kikaku.sandbox.balance import book_charge
from kikaku.sandbox.checkout import customer_details
from kikaku.sandbox.events import record_event
from kikaku.sandbox.state import Json, Transaction, new_id, random_text

# With capture_method automatic_async the balance transaction follows `succeeded`: up to an hour at Stripe.
ASYNC_CAPTURE_SECONDS = 2

Outcome = Literal["succeeded", "declined", "requires_action", "invalid"]


class UnknownSession(LookupError):
    """Raised when no Checkout Session has the id."""


class SessionNotOpen(Exception):
    """Raised when a session is complete or expired and accepts no payment."""


class MethodNotOffered(Exception):
    """Raised when a session was created without the customer's payment method."""


@dataclass(frozen=True)
class PayResult:
    """The result of a try to pay.

    `declined` and `invalid` leave the session open for another try; `invalid` (a wrong number) records
    nothing. `requires_action` waits for `authenticate` (a card) or for the payment at the counter (konbini).
    """

    outcome: Outcome
    session_id: str
    payment_intent: str | None = None
    charge: str | None = None
    code: str | None = None  # Stripe's error code, as card_declined
    decline_code: str | None = None
    message: str | None = None  # Stripe's English message
    redirect_url: str | None = None  # the customer's next page: success_url, or the voucher


def get_session(tx: Transaction, session_id: str) -> Json:
    """Return a session.

    Raises:
        UnknownSession: no session has the id.
    """
    session = tx.get("checkout.session", session_id)
    if session is None:
        raise UnknownSession(f"No such Checkout Session: {session_id}")
    return session


def open_session(tx: Transaction, session_id: str, method: str) -> Json:
    """Return a session that still accepts a payment by the method (`card` or `konbini`).

    Raises:
        UnknownSession: no session has the id.
        SessionNotOpen: it is complete or expired.
        MethodNotOffered: it was created for other methods.
    """
    session = get_session(tx, session_id)
    if session["status"] != "open":
        raise SessionNotOpen(f"Checkout Session {session_id} is {session['status']}.")
    if method not in session["payment_method_types"]:
        raise MethodNotOffered(f"Checkout Session {session_id} does not offer {method}.")
    return session


def capture(tx: Transaction, charge: Json) -> None:
    """Book the balance transaction of an asynchronously captured charge and record `charge.updated`."""
    if charge["balance_transaction"] is not None:
        return
    updated = {**charge, "balance_transaction": book_charge(tx, charge)["id"]}
    tx.save(updated)
    record_event(tx, "charge.updated", updated, {"balance_transaction": None})


def intent_for(tx: Transaction, session: Json) -> Json:
    """Return the session's intent, which the first try to pay creates."""
    if session["payment_intent"] is not None:
        return tx.load("payment_intent", session["payment_intent"])
    data = tx.private(session["id"])["intent_data"]
    intent_id = new_id("pi")
    intent: Json = {
        "id": intent_id,
        "object": "payment_intent",
        "amount": session["amount_total"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": data["capture_method"],
        "client_secret": f"{intent_id}_secret_{random_text(25)}",
        "confirmation_method": "automatic",
        "created": tx.second,
        "currency": "jpy",
        "customer": None,
        "customer_account": None,
        "description": data["description"],
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": data["metadata"],
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": _method_options(session),
        "payment_method_types": session["payment_method_types"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }
    tx.insert("payment_intent", intent)
    record_event(tx, "payment_intent.created", intent)
    return intent


def _method_options(session: Json) -> Json:
    options: Json = {}
    if "card" in session["payment_method_types"]:
        options["card"] = {
            "installments": None,
            "mandate_options": None,
            "network": None,
            "request_three_d_secure": "automatic",
        }
    if "konbini" in session["payment_method_types"]:
        options["konbini"] = {
            "confirmation_number": None,
            "expires_after_days": session["payment_method_options"]["konbini"]["expires_after_days"],
            "expires_at": None,
            "product_description": None,
        }
    return options


def billing_details(session: Json) -> Json:
    """Return the `billing_details` of methods and charges from a session's customer details."""
    details = session["customer_details"] or {}
    empty = {"city": None, "country": "JP", "line1": None, "line2": None, "postal_code": None, "state": None}
    return {
        "address": empty,
        "email": details.get("email"),
        "name": details.get("name"),
        "phone": details.get("phone"),
        "tax_id": None,
    }


def new_method(
    tx: Transaction, session: Json, kind: str, details: Json, *, private: Json | None = None
) -> Json:
    """Store and return a payment method; `details` is the object of its kind (`card`, `konbini`)."""
    method: Json = {
        "id": new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "limited",
        "billing_details": billing_details(session),
        kind: details,
        "created": tx.second,
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": kind,
    }
    tx.insert("payment_method", method, private=private)
    return method


def new_charge(
    tx: Transaction,
    intent: Json,
    method: Json,
    *,
    details: Json,
    outcome: Json,
    failure: Any = None,
) -> Json:
    """Return a charge that is not stored yet.

    `details` goes into `payment_method_details`, `outcome` is Stripe's; `failure` is None or (code, message).
    """
    paid = failure is None
    kind = method["type"]
    return {
        "id": new_id("ch" if kind == "card" else "py"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": intent["amount"] if paid else 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": "SANDBOX",
        "captured": paid,
        "created": tx.second,
        "currency": "jpy",
        "customer": None,
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None if paid else failure[0],
        "failure_message": None if paid else failure[1],
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": outcome,
        "paid": paid,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {kind: details, "type": kind},
        "radar_options": {},
        "receipt_email": None,
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "succeeded" if paid else "failed",
        "transfer_data": None,
        "transfer_group": None,
    }


def record_payment(
    tx: Transaction, session: Json, intent: Json, charge: Json, *, private: Json | None = None
) -> PayResult:
    """Record a successful charge and its events in Stripe's order.

    The event of a session that was already complete (by a voucher) is `async_payment_succeeded`.
    """
    if intent["capture_method"] == "automatic":
        charge["balance_transaction"] = book_charge(tx, charge)["id"]
    else:
        tx.schedule(tx.now + ASYNC_CAPTURE_SECONDS, "capture", charge["id"])
    tx.insert("charge", charge, private=private)
    succeeded = {
        **intent,
        "amount_received": intent["amount"],
        "last_payment_error": None,
        "latest_charge": charge["id"],
        "next_action": None,
        "payment_method": charge["payment_method"],
        "status": "succeeded",
    }
    tx.save(succeeded)
    paid = completed_session(session, intent, payment_status="paid")
    tx.save(paid)
    tx.unschedule(session["id"])
    record_event(tx, "charge.succeeded", charge)
    record_event(tx, "payment_intent.succeeded", succeeded)
    if session["status"] == "open":
        record_event(tx, "checkout.session.completed", paid)
    else:
        record_event(tx, "checkout.session.async_payment_succeeded", paid)
    return PayResult(
        "succeeded", session["id"], intent["id"], charge["id"], redirect_url=success_url(session)
    )


def record_failure(tx: Transaction, intent: Json, error: Json, *, charge: str | None = None) -> Json:
    """Record a failed try, with Stripe's error; return the intent, which waits for another payment method."""
    failed = {
        **intent,
        "last_payment_error": error,
        "latest_charge": charge or intent["latest_charge"],
        "next_action": None,
        "payment_method": None,
        "status": "requires_payment_method",
    }
    tx.save(failed)
    record_event(tx, "payment_intent.payment_failed", failed)
    return failed


def record_waiting(tx: Transaction, intent: Json, method: Json, next_action: Json) -> Json:
    """Record that an intent waits for an action of the customer; return it."""
    waiting = {
        **intent,
        "last_payment_error": None,
        "next_action": next_action,
        "payment_method": method["id"],
        "status": "requires_action",
    }
    tx.save(waiting)
    record_event(tx, "payment_intent.requires_action", waiting)
    return waiting


def completed_session(session: Json, intent: Json, *, payment_status: str) -> Json:
    """Return a complete session: `paid`, or `unpaid` while the money is to come."""
    return {
        **session,
        "customer_details": session["customer_details"] or customer_details(None),
        "payment_intent": intent["id"],
        "payment_status": payment_status,
        "status": "complete",
        "url": None,
    }


def success_url(session: Json) -> str:
    """Return the address to which the customer returns after paying."""
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])
