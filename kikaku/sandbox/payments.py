"""Paying: what happens when a customer submits a card on the hosted page."""

from dataclasses import dataclass
from typing import Any, Literal

from kikaku.sandbox.balance import book_charge
from kikaku.sandbox.cards import CARDS, Card, looks_like_a_card, normalised
from kikaku.sandbox.checkout import customer_details
from kikaku.sandbox.errors import DOC_URL
from kikaku.sandbox.events import record_event
from kikaku.sandbox.state import Json, Transaction, new_id, random_text

# With capture_method automatic_async the balance transaction comes after `succeeded`: up to an hour at Stripe.
ASYNC_CAPTURE_SECONDS = 2

Outcome = Literal["succeeded", "declined", "requires_action", "invalid"]

_DECLINED = "Your card was declined."
_DECLINES = {
    "generic_decline": ("card_declined", _DECLINED),
    "insufficient_funds": ("card_declined", "Your card has insufficient funds."),
}
_NOT_AUTHENTICATED = "We are unable to authenticate your payment method. Please choose a different payment method and try again."


class UnknownSession(LookupError):
    """Raised when there is no Checkout Session of that id."""


class SessionNotOpen(Exception):
    """Raised when a session is complete or expired and takes no card any more."""


class NothingToAuthenticate(Exception):
    """Raised when an authentication is answered that nobody asked for."""


@dataclass(frozen=True)
class PayResult:
    """How a try to pay ended.

    `declined` and `invalid` leave the session open for another try; `invalid` (a wrong number) left no trace.
    `requires_action` waits for `authenticate`.
    """

    outcome: Outcome
    session_id: str
    payment_intent: str | None = None
    charge: str | None = None
    code: str | None = None  # Stripe's error code, as card_declined
    decline_code: str | None = None
    message: str | None = None  # English, as Stripe says it
    redirect_url: str | None = None  # where the customer goes now: success_url after a payment


def open_session(tx: Transaction, session_id: str) -> Json:
    """Return a session that still takes a payment.

    Raises:
        UnknownSession: there is none of that id.
        SessionNotOpen: it is complete or expired.
    """
    session = tx.get("checkout.session", session_id)
    if session is None:
        raise UnknownSession(f"No such Checkout Session: {session_id}")
    if session["status"] != "open":
        raise SessionNotOpen(f"Checkout Session {session_id} is {session['status']}.")
    return session


def submit_card(tx: Transaction, session_id: str, number: str, *, email: str | None = None) -> PayResult:
    """Try to pay an open session with a test card; a second try uses the same intent.

    Raises:
        UnknownSession, SessionNotOpen: as `open_session`.
    """
    session = open_session(tx, session_id)
    number = normalised(number)
    card = CARDS.get(number)
    if card is None:
        if looks_like_a_card(number):
            return PayResult(
                "invalid", session_id, code="card_declined", decline_code="test_mode_live_card",
                message="Your card was declined. Only the test cards can be used here.",
            )  # fmt: skip
        return PayResult(
            "invalid", session_id, code="incorrect_number", message="Your card number is incorrect."
        )
    if email and not session["customer_email"]:
        session = {**session, "customer_details": customer_details(email)}
    intent = _intent_for(tx, session)
    session = {**session, "payment_intent": intent["id"]}
    tx.save(session)
    if card.behaviour == "declines":
        return _decline(tx, session, intent, card)
    if card.behaviour == "authenticates":
        return _ask_authentication(tx, session, intent, card)
    return _succeed(tx, session, intent, card, authenticated=False)


def answer_authentication(tx: Transaction, session_id: str, *, succeeds: bool) -> PayResult:
    """Finish the authentication that a card asked for.

    Raises:
        UnknownSession, SessionNotOpen: as `open_session`.
        NothingToAuthenticate: no authentication is under way.
    """
    session = open_session(tx, session_id)
    intent_id = session["payment_intent"]
    intent = tx.load("payment_intent", intent_id) if intent_id is not None else None
    if intent is None or intent["status"] != "requires_action":
        raise NothingToAuthenticate(f"Checkout Session {session_id} waits for no authentication.")
    method = tx.load("payment_method", intent["payment_method"])
    card = CARDS[tx.private(method["id"])["number"]]
    if succeeds:
        return _succeed(tx, session, intent, card, authenticated=True)
    error = {
        "code": "payment_intent_authentication_failure",
        "doc_url": DOC_URL + "payment-intent-authentication-failure",
        "message": _NOT_AUTHENTICATED,
        "payment_method": method,
        "type": "invalid_request_error",
    }
    failed = {
        **intent,
        "last_payment_error": error,
        "next_action": None,
        "payment_method": None,
        "status": "requires_payment_method",
    }
    tx.save(failed)
    record_event(tx, "payment_intent.payment_failed", failed)
    return PayResult(
        "declined", session_id, intent["id"], code=str(error["code"]), message=_NOT_AUTHENTICATED
    )


def awaits_authentication(tx: Transaction, session: Json) -> bool:
    """Tell whether the customer still has to confirm the payment with the bank."""
    if session["status"] != "open" or session["payment_intent"] is None:
        return False
    return bool(tx.load("payment_intent", session["payment_intent"])["status"] == "requires_action")


def capture(tx: Transaction, charge: Json) -> None:
    """Book the balance transaction of an asynchronously captured charge and say so by `charge.updated`."""
    if charge["balance_transaction"] is not None:
        return
    card = CARDS[tx.private(charge["id"])["number"]]
    booked = book_charge(tx, charge, taxed_fee=card.taxed_fee)
    updated = {**charge, "balance_transaction": booked["id"]}
    tx.save(updated)
    record_event(tx, "charge.updated", updated, {"balance_transaction": None})


def _intent_for(tx: Transaction, session: Json) -> Json:
    """Return the session's intent; the first submission creates it."""
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
        "payment_method_options": {
            "card": {
                "installments": None,
                "mandate_options": None,
                "network": None,
                "request_three_d_secure": "automatic",
            }
        },
        "payment_method_types": ["card"],
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


def _billing_details(session: Json) -> Json:
    details = session["customer_details"] or {}
    empty = {"city": None, "country": "JP", "line1": None, "line2": None, "postal_code": None, "state": None}
    return {"address": empty, "email": details.get("email"), "name": None, "phone": None, "tax_id": None}


def _new_method(tx: Transaction, session: Json, card: Card) -> Json:
    method: Json = {
        "id": new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "limited",
        "billing_details": _billing_details(session),
        "card": {
            "brand": card.brand,
            "checks": _checks(),
            "country": "JP",
            "display_brand": "american_express" if card.brand == "amex" else card.brand,
            "exp_month": 12,
            "exp_year": 2034,
            "fingerprint": _fingerprint(card),
            "funding": "credit",
            "generated_from": None,
            "last4": card.number[-4:],
            "networks": {"available": [card.brand], "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        "created": tx.second,
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }
    tx.insert("payment_method", method, private={"number": card.number})
    return method


def _checks() -> Json:
    return {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"}


def _fingerprint(card: Card) -> str:
    return f"sandbox{card.number[-9:]}"


def _new_charge(
    tx: Transaction,
    session: Json,
    intent: Json,
    method: Json,
    card: Card,
    *,
    authenticated: bool,
    failure: Any,
) -> Json:
    """Return a charge, not stored yet; `failure` is None or (code, decline_code, message)."""
    paid = failure is None
    outcome = {
        "advice_code": None if paid else "try_again_later",
        "network_advice_code": None,
        "network_decline_code": None if paid else "05",
        "network_status": "approved_by_network" if paid else "declined_by_network",
        "reason": None if paid else failure[1],
        "risk_level": "normal",
        "risk_score": 12,
        "seller_message": "Payment complete." if paid else "The bank did not approve the payment.",
        "type": "authorized" if paid else "issuer_declined",
    }
    three_d_secure = {
        "authentication_flow": "challenge",
        "electronic_commerce_indicator": "05",
        "exemption_indicator": None,
        "result": "authenticated",
        "result_reason": None,
        "transaction_id": new_id("x")[2:],
        "version": "2.2.0",
    }
    return {
        "id": new_id("ch"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": intent["amount"] if paid else 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": _billing_details(session),
        "calculated_statement_descriptor": "SANDBOX",
        "captured": paid,
        "created": tx.second,
        "currency": "jpy",
        "customer": None,
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None if paid else failure[0],
        "failure_message": None if paid else failure[2],
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": outcome,
        "paid": paid,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {
            "card": {
                "amount_authorized": intent["amount"] if paid else None,
                "authorization_code": "123456" if paid else None,
                "brand": card.brand,
                "checks": _checks(),
                "country": "JP",
                "exp_month": 12,
                "exp_year": 2034,
                "extended_authorization": {"status": "disabled"},
                "fingerprint": _fingerprint(card),
                "funding": "credit",
                "incremental_authorization": {"status": "unavailable"},
                "installments": None,
                "last4": card.number[-4:],
                "mandate": None,
                "multicapture": {"status": "unavailable"},
                "network": card.brand,
                "network_token": {"used": False},
                "network_transaction_id": None,
                "overcapture": {"maximum_amount_capturable": intent["amount"], "status": "unavailable"},
                "regulated_status": "unregulated",
                "three_d_secure": three_d_secure if authenticated else None,
                "wallet": None,
            },
            "type": "card",
        },
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


def _decline(tx: Transaction, session: Json, intent: Json, card: Card) -> PayResult:
    """Record a declined try: a failed charge, an intent that waits for another card, a session still open."""
    code, message = _DECLINES[card.decline_code]
    method = _new_method(tx, session, card)
    charge = _new_charge(
        tx, session, intent, method, card, authenticated=False, failure=(code, card.decline_code, message)
    )
    tx.insert("charge", charge, private={"number": card.number})
    error = {
        "advice_code": "try_again_later",
        "charge": charge["id"],
        "code": code,
        "decline_code": card.decline_code,
        "doc_url": DOC_URL + code.replace("_", "-"),
        "message": message,
        "network_decline_code": "05",
        "payment_method": method,
        "type": "card_error",
    }
    failed = {
        **intent,
        "last_payment_error": error,
        "latest_charge": charge["id"],
        "next_action": None,
        "payment_method": None,
        "status": "requires_payment_method",
    }
    tx.save(failed)
    record_event(tx, "charge.failed", charge)
    record_event(tx, "payment_intent.payment_failed", failed)
    return PayResult(
        "declined", session["id"], intent["id"], charge["id"], code, card.decline_code, message
    )  # fmt: skip


def _ask_authentication(tx: Transaction, session: Json, intent: Json, card: Card) -> PayResult:
    method = _new_method(tx, session, card)
    waiting = {
        **intent,
        "last_payment_error": None,
        "next_action": {
            "redirect_to_url": {"return_url": session["url"], "url": session["url"]},
            "type": "redirect_to_url",
        },
        "payment_method": method["id"],
        "status": "requires_action",
    }
    tx.save(waiting)
    record_event(tx, "payment_intent.requires_action", waiting)
    return PayResult("requires_action", session["id"], intent["id"], redirect_url=session["url"])


def _succeed(tx: Transaction, session: Json, intent: Json, card: Card, *, authenticated: bool) -> PayResult:
    """Record a successful payment; its events come in Stripe's order."""
    if authenticated:
        method = tx.load("payment_method", intent["payment_method"])
    else:
        method = _new_method(tx, session, card)
    charge = _new_charge(tx, session, intent, method, card, authenticated=authenticated, failure=None)
    if intent["capture_method"] == "automatic":
        charge["balance_transaction"] = book_charge(tx, charge, taxed_fee=card.taxed_fee)["id"]
    else:
        tx.plan(tx.now + ASYNC_CAPTURE_SECONDS, "capture", charge["id"])
    tx.insert("charge", charge, private={"number": card.number})
    paid = {
        **intent,
        "amount_received": intent["amount"],
        "last_payment_error": None,
        "latest_charge": charge["id"],
        "next_action": None,
        "payment_method": method["id"],
        "status": "succeeded",
    }
    tx.save(paid)
    complete = {
        **session,
        "customer_details": session["customer_details"] or customer_details(None),
        "payment_intent": intent["id"],
        "payment_status": "paid",
        "status": "complete",
        "url": None,
    }
    tx.save(complete)
    tx.unplan(session["id"])
    record_event(tx, "charge.succeeded", charge)
    record_event(tx, "payment_intent.succeeded", paid)
    record_event(tx, "checkout.session.completed", complete)
    return PayResult(
        "succeeded", session["id"], intent["id"], charge["id"],
        redirect_url=session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"]),
    )  # fmt: skip
