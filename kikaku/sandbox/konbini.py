"""Paying at a convenience store: a voucher with a deadline, paid at the counter days later, or never.

Source: https://docs.stripe.com/payments/konbini/accept-a-payment
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Literal

from kikaku.sandbox import payments
from kikaku.sandbox.checkout import customer_details
from kikaku.sandbox.errors import DOC_URL
from kikaku.sandbox.events import record_event
from kikaku.sandbox.params import is_email
from kikaku.sandbox.payments import PayResult
from kikaku.sandbox.state import Json, Transaction

DEFAULT_DAYS = 3
# A slip printed just before the deadline can still be paid at the register: Stripe lets a while pass before it fails.
BUFFER_SECONDS = 600
# Stripe's test number 44444444440 sets the deadline this far ahead, whatever the options say.
SOON_SECONDS = 180
Stage = Literal["waiting", "paid", "lapsed"]

CHAINS = ("familymart", "lawson", "ministop", "seicomart")
VOUCHER_PATH = "/konbini/voucher/"

JST = timezone(timedelta(hours=9), "JST")
_EXPIRED = (
    "The latest payment attempt for the PaymentIntent has expired: the customer did not pay at the convenience store"
    " in time. Provide a new payment method to try again."
)


class NoVoucher(Exception):
    """Raised when a session has no voucher that waits to be paid: none was taken, or it is paid, or it lapsed."""


@dataclass(frozen=True)
class Customer:
    """What a customer tells the page of himself; Stripe asks for name and e-mail."""

    name: str = "見本 花子"
    email: str | None = None  # where the session carries none
    phone: str | None = None  # 10 or 11 digits: becomes the confirmation number


def deadline(now: float, days: int) -> int:
    """Return 23:59:59 JST of the day that comes `days` after the day of `now`, in seconds since the epoch."""
    day = datetime.fromtimestamp(now, UTC).astimezone(JST) + timedelta(days=days)
    return int(day.replace(hour=23, minute=59, second=59, microsecond=0).timestamp())


def choose(
    tx: Transaction, session_id: str, customer: Customer | None = None, *, lapses_soon: bool = False
) -> PayResult:
    """Issue a voucher for an open session: the session is complete and unpaid from now on, and can not be expired.

    With `lapses_soon` the voucher's deadline is minutes away, for who wants to see it pass.

    Raises:
        UnknownSession, SessionNotOpen, MethodNotOffered: as `payments.open_session`.
    """
    session = payments.open_session(tx, session_id, "konbini")
    customer = customer or Customer()
    email = session["customer_email"] or customer.email
    number = customer.phone or _digits(11)
    for complaint in _complaints(email, customer.name, number):
        return PayResult("invalid", session_id, code=complaint[0], message=complaint[1])
    session = {**session, "customer_details": {**customer_details(email), "name": customer.name}}
    intent = payments.intent_for(tx, session)
    method = payments.new_method(tx, session, "konbini", {})
    options = intent["payment_method_options"]["konbini"]
    expires_at = deadline(tx.now, options["expires_after_days"] or DEFAULT_DAYS)
    fails_at = expires_at + BUFFER_SECONDS
    if lapses_soon:
        expires_at = fails_at = tx.second + SOON_SECONDS
    voucher = {
        "expires_at": expires_at,
        "hosted_voucher_url": session["url"].replace("/c/pay/", VOUCHER_PATH),
        "stores": {chain: {"confirmation_number": number, "payment_code": _digits(6)} for chain in CHAINS},
    }
    payments.record_waiting(
        tx, intent, method, {"konbini_display_details": voucher, "type": "konbini_display_details"}
    )
    complete = payments.completed(session, intent, payment_status="unpaid")
    tx.save(complete)
    tx.unplan(session_id)
    tx.plan(fails_at, "lapse voucher", session_id)
    record_event(tx, "checkout.session.completed", complete)
    return PayResult("requires_action", session_id, intent["id"], redirect_url=voucher["hosted_voucher_url"])


def _complaints(email: str | None, name: str, number: str) -> list[tuple[str, str]]:
    """Return what is wrong with a customer's particulars, as Stripe's code and message."""
    found = []
    if not name.strip():
        found.append(("name_missing", "Your name is required."))
    if not email:
        found.append(("email_missing", "Your email is required."))
    elif not is_email(email):
        found.append(("email_invalid", f"Invalid email address: {email[:80]}"))
    if not (number.isascii() and number.isdecimal() and 10 <= len(number) <= 11 and number.strip("0")):
        found.append(
            (
                "payment_intent_konbini_rejected_confirmation_number",
                "The confirmation number must consist of 10 to 11 digits and not of zeroes alone.",
            )
        )
    return found


def pay(tx: Transaction, session_id: str, *, chain: str = "familymart") -> PayResult:
    """Let the customer pay his voucher at the counter of one of the chains.

    Raises:
        UnknownSession: there is no such session.
        NoVoucher: it has no voucher that waits to be paid.
    """
    if chain not in CHAINS:
        raise ValueError(f"Not a chain that takes vouchers: {chain}")
    session, intent = _waiting(tx, session_id)
    method = tx.load("payment_method", intent["payment_method"])
    outcome = {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "approved_by_network",
        "reason": None,
        "risk_level": "not_assessed",
        "seller_message": "Payment complete.",
        "type": "authorized",
    }
    charge = payments.new_charge(tx, intent, method, details={"store": {"chain": chain}}, outcome=outcome)
    return payments.record_payment(tx, session, intent, charge)


def lapse(tx: Transaction, session_id: str) -> None:
    """Let a voucher's time be over: the intent waits for another way of paying, the session stays complete and unpaid.

    Raises:
        UnknownSession, NoVoucher: as `pay`.
    """
    session, intent = _waiting(tx, session_id)
    tx.unplan(session_id)
    code = "payment_intent_payment_attempt_expired"
    error = {
        "code": code,
        "doc_url": DOC_URL + code.replace("_", "-"),
        "message": _EXPIRED,
        "payment_method": tx.load("payment_method", intent["payment_method"]),
        "type": "invalid_request_error",
    }
    payments.record_failure(tx, intent, error)
    record_event(tx, "checkout.session.async_payment_failed", session)


def stage(tx: Transaction, session: Json) -> Stage | None:
    """Return how far a session's voucher is, or None if none was taken."""
    if session["status"] != "complete":
        return None
    intent = tx.load("payment_intent", session["payment_intent"])
    if intent["status"] == "requires_action":
        return "waiting"
    if intent["status"] == "requires_payment_method":
        return "lapsed"
    method = tx.load("payment_method", intent["payment_method"])
    return "paid" if method["type"] == "konbini" else None


def voucher_of(tx: Transaction, session: Json) -> Json:
    """Return the voucher of a session that waits (Stripe's `konbini_display_details`)."""
    voucher: Json = tx.load("payment_intent", session["payment_intent"])["next_action"][
        "konbini_display_details"
    ]
    return voucher


def _waiting(tx: Transaction, session_id: str) -> tuple[Json, Json]:
    session = payments.known_session(tx, session_id)
    if stage(tx, session) != "waiting":
        raise NoVoucher(f"Checkout Session {session_id} has no voucher that waits to be paid.")
    return session, tx.load("payment_intent", session["payment_intent"])


def _digits(length: int) -> str:
    """Return a random number of exactly that many digits."""
    return str(10 ** (length - 1) + secrets.randbelow(9 * 10 ** (length - 1)))
