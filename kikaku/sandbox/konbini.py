"""Payment at a convenience store: a voucher with a deadline, paid at the counter days later, or never.

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
# A slip printed just before the deadline can still be paid at the register: Stripe fails the payment later.
PAYMENT_GRACE_SECONDS = 600
# Stripe's test number 44444444440 sets the deadline this far ahead, regardless of the options.
SOON_EXPIRY_SECONDS = 180
VoucherStage = Literal["waiting", "paid", "expired"]

CHAINS = ("familymart", "lawson", "ministop", "seicomart")
VOUCHER_PATH = "/konbini/voucher/"

JST = timezone(timedelta(hours=9), "JST")
_EXPIRED_MESSAGE = (
    "The latest payment attempt for the PaymentIntent has expired: the customer did not pay at the"
    " convenience store in time. Provide a new payment method to try again."
)


class NoVoucher(Exception):
    """Raised when a session has no unpaid voucher: none was issued, or it is paid or expired."""


@dataclass(frozen=True)
class Customer:
    """The customer's details on the page; Stripe asks for name and e-mail."""

    name: str = "見本 花子"
    email: str | None = None  # if the session has none
    phone: str | None = None  # 10 or 11 digits: becomes the confirmation number


def deadline(now: float, days: int) -> int:
    """Return 23:59:59 JST of the day `days` after the day of `now`, in seconds since the epoch."""
    day = datetime.fromtimestamp(now, UTC).astimezone(JST) + timedelta(days=days)
    return int(day.replace(hour=23, minute=59, second=59, microsecond=0).timestamp())


def issue_voucher(
    tx: Transaction, session_id: str, customer: Customer | None = None, *, expires_soon: bool = False
) -> PayResult:
    """Issue a voucher for an open session, which is complete and unpaid from now on and cannot be expired.

    With `expires_soon` the voucher's deadline is three minutes away.

    Raises:
        UnknownSession, SessionNotOpen, MethodNotOffered: as `payments.open_session`.
    """
    session = payments.open_session(tx, session_id, "konbini")
    customer = customer or Customer()
    email = session["customer_email"] or customer.email
    number = customer.phone or _digits(11)
    for code, message in _errors(email, customer.name, number):
        return PayResult("invalid", session_id, code=code, message=message)
    session = {**session, "customer_details": {**customer_details(email), "name": customer.name}}
    intent = payments.intent_for(tx, session)
    method = payments.new_method(tx, session, "konbini", {})
    options = intent["payment_method_options"]["konbini"]
    expires_at = deadline(tx.now, options["expires_after_days"] or DEFAULT_DAYS)
    fails_at = expires_at + PAYMENT_GRACE_SECONDS
    if expires_soon:
        expires_at = fails_at = tx.second + SOON_EXPIRY_SECONDS
    voucher = {
        "expires_at": expires_at,
        "hosted_voucher_url": session["url"].replace("/c/pay/", VOUCHER_PATH),
        "stores": {chain: {"confirmation_number": number, "payment_code": _digits(6)} for chain in CHAINS},
    }
    payments.record_waiting(
        tx, intent, method, {"konbini_display_details": voucher, "type": "konbini_display_details"}
    )
    complete = payments.completed_session(session, intent, payment_status="unpaid")
    tx.save(complete)
    tx.unschedule(session_id)
    tx.schedule(fails_at, "lapse voucher", session_id)
    record_event(tx, "checkout.session.completed", complete)
    return PayResult("requires_action", session_id, intent["id"], redirect_url=voucher["hosted_voucher_url"])


def _errors(email: str | None, name: str, number: str) -> list[tuple[str, str]]:
    """Return the errors in a customer's details, each as Stripe's code and message."""
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


def pay_voucher(tx: Transaction, session_id: str, *, chain: str = "familymart") -> PayResult:
    """Pay a voucher at the counter of one of the chains.

    Raises:
        UnknownSession: there is no such session.
        NoVoucher: it has no unpaid voucher.
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


def expire_voucher(tx: Transaction, session_id: str) -> None:
    """Expire a voucher: the intent waits for another method, the session stays complete and unpaid.

    Raises:
        UnknownSession, NoVoucher: as `pay_voucher`.
    """
    session, intent = _waiting(tx, session_id)
    tx.unschedule(session_id)
    code = "payment_intent_payment_attempt_expired"
    error = {
        "code": code,
        "doc_url": DOC_URL + code.replace("_", "-"),
        "message": _EXPIRED_MESSAGE,
        "payment_method": tx.load("payment_method", intent["payment_method"]),
        "type": "invalid_request_error",
    }
    payments.record_failure(tx, intent, error)
    record_event(tx, "checkout.session.async_payment_failed", session)


def voucher_stage(tx: Transaction, session: Json) -> VoucherStage | None:
    """Return the stage of a session's voucher, or None if none was issued."""
    if session["status"] != "complete":
        return None
    intent = tx.load("payment_intent", session["payment_intent"])
    if intent["status"] == "requires_action":
        return "waiting"
    if intent["status"] == "requires_payment_method":
        return "expired"
    method = tx.load("payment_method", intent["payment_method"])
    return "paid" if method["type"] == "konbini" else None


def voucher_of(tx: Transaction, session: Json) -> Json:
    """Return the unpaid voucher of a session (Stripe's `konbini_display_details`)."""
    voucher: Json = tx.load("payment_intent", session["payment_intent"])["next_action"][
        "konbini_display_details"
    ]
    return voucher


def _waiting(tx: Transaction, session_id: str) -> tuple[Json, Json]:
    session = payments.get_session(tx, session_id)
    if voucher_stage(tx, session) != "waiting":
        raise NoVoucher(f"Checkout Session {session_id} has no unpaid voucher.")
    return session, tx.load("payment_intent", session["payment_intent"])


def _digits(length: int) -> str:
    """Return a random number with exactly this many digits."""
    return str(10 ** (length - 1) + secrets.randbelow(9 * 10 ** (length - 1)))
