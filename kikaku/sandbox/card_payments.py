"""Card payments: what happens when a customer submits a test card on the hosted page."""

from kikaku.sandbox import payments
from kikaku.sandbox.cards import CARDS, Card, has_valid_check_digit, normalise_number
from kikaku.sandbox.checkout import customer_details
from kikaku.sandbox.errors import DOC_URL
from kikaku.sandbox.events import record_event
from kikaku.sandbox.payments import PayResult
from kikaku.sandbox.state import Json, Transaction, new_id

_DECLINED_MESSAGE = "Your card was declined."
_DECLINES = {
    "generic_decline": ("card_declined", _DECLINED_MESSAGE),
    "insufficient_funds": ("card_declined", "Your card has insufficient funds."),
}
_AUTHENTICATION_FAILED_MESSAGE = (
    "We are unable to authenticate your payment method."
    " Please choose a different payment method and try again."
)


class NothingToAuthenticate(Exception):
    """Raised when no authentication is under way that could be answered."""


def submit_card(tx: Transaction, session_id: str, number: str, *, email: str | None = None) -> PayResult:
    """Try to pay an open session with a test card; another try uses the same intent.

    Raises:
        UnknownSession, SessionNotOpen, MethodNotOffered: as `payments.open_session`.
    """
    session = payments.open_session(tx, session_id, "card")
    number = normalise_number(number)
    card = CARDS.get(number)
    if card is None:
        if has_valid_check_digit(number):
            return PayResult(
                "invalid", session_id, code="card_declined", decline_code="test_mode_live_card",
                message="Your card was declined. Only the test cards can be used here.",
            )  # fmt: skip
        return PayResult(
            "invalid", session_id, code="incorrect_number", message="Your card number is incorrect."
        )
    if email and not session["customer_email"]:
        session = {**session, "customer_details": customer_details(email)}
    intent = payments.intent_for(tx, session)
    session = {**session, "payment_intent": intent["id"]}
    tx.save(session)
    if card.behaviour == "declines":
        return _record_decline(tx, session, intent, card)
    if card.behaviour == "authenticates":
        return _request_authentication(tx, session, intent, card)
    return _record_success(tx, session, intent, _new_method(tx, session, card), card, authenticated=False)


def answer_authentication(tx: Transaction, session_id: str, *, succeeds: bool) -> PayResult:
    """Finish the authentication that a card asked for.

    Raises:
        UnknownSession, SessionNotOpen, MethodNotOffered: as `payments.open_session`.
        NothingToAuthenticate: no authentication is under way.
    """
    session = payments.open_session(tx, session_id, "card")
    if not awaits_authentication(tx, session):
        raise NothingToAuthenticate(f"Checkout Session {session_id} waits for no authentication.")
    intent = tx.load("payment_intent", session["payment_intent"])
    method = tx.load("payment_method", intent["payment_method"])
    if succeeds:
        card = CARDS[tx.private(method["id"])["number"]]
        return _record_success(tx, session, intent, method, card, authenticated=True)
    error = {
        "code": "payment_intent_authentication_failure",
        "doc_url": DOC_URL + "payment-intent-authentication-failure",
        "message": _AUTHENTICATION_FAILED_MESSAGE,
        "payment_method": method,
        "type": "invalid_request_error",
    }
    payments.record_failure(tx, intent, error)
    return PayResult(
        "declined", session_id, intent["id"], code=str(error["code"]), message=_AUTHENTICATION_FAILED_MESSAGE
    )


def awaits_authentication(tx: Transaction, session: Json) -> bool:
    """Return whether the customer still has to confirm the payment with the bank."""
    if session["status"] != "open" or session["payment_intent"] is None:
        return False
    return bool(tx.load("payment_intent", session["payment_intent"])["status"] == "requires_action")


def _new_method(tx: Transaction, session: Json, card: Card) -> Json:
    details = {
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
    }
    return payments.new_method(tx, session, "card", details, private={"number": card.number})


def _checks() -> Json:
    return {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"}


def _fingerprint(card: Card) -> str:
    return f"sandbox{card.number[-9:]}"


def _new_charge(
    tx: Transaction,
    intent: Json,
    method: Json,
    card: Card,
    *,
    authenticated: bool = False,
    decline: tuple[str, str] | None = None,
) -> Json:
    """Return a charge of a card, not stored yet; `decline` is (code, message)."""
    paid = decline is None
    outcome = {
        "advice_code": None if paid else "try_again_later",
        "network_advice_code": None,
        "network_decline_code": None if paid else "05",
        "network_status": "approved_by_network" if paid else "declined_by_network",
        "reason": None if paid else card.decline_code,
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
    details = {
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
    }
    return payments.new_charge(tx, intent, method, details=details, outcome=outcome, failure=decline)


def _record_decline(tx: Transaction, session: Json, intent: Json, card: Card) -> PayResult:
    """Record a declined try: the charge failed, the intent waits for another card, the session stays open."""
    code, message = _DECLINES[card.decline_code]
    method = _new_method(tx, session, card)
    charge = _new_charge(tx, intent, method, card, decline=(code, message))
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
    record_event(tx, "charge.failed", charge)
    payments.record_failure(tx, intent, error, charge=charge["id"])
    return PayResult(
        "declined", session["id"], intent["id"], charge["id"], code, card.decline_code, message
    )  # fmt: skip


def _request_authentication(tx: Transaction, session: Json, intent: Json, card: Card) -> PayResult:
    page = session["url"]
    next_action = {"redirect_to_url": {"return_url": page, "url": page}, "type": "redirect_to_url"}
    payments.record_waiting(tx, intent, _new_method(tx, session, card), next_action)
    return PayResult("requires_action", session["id"], intent["id"], redirect_url=page)


def _record_success(
    tx: Transaction, session: Json, intent: Json, method: Json, card: Card, *, authenticated: bool
) -> PayResult:
    charge = _new_charge(tx, intent, method, card, authenticated=authenticated)
    return payments.record_payment(tx, session, intent, charge, private={"number": card.number})
