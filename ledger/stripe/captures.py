"""Captured payments as Stripe's objects report them: charges, PaymentIntents and Checkout Sessions."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ledger.stripe.timestamps import from_timestamp


@dataclass(frozen=True, kw_only=True)
class CapturedPayment:
    """What one Stripe object says about captured money."""

    payment_intent: str
    amount: int  # in the smallest unit of `currency`; JPY has no decimals
    currency: str
    metadata: dict[str, str]  # order number and attempt, as we sent them
    occurred_at: datetime  # of the charge if known, otherwise of the event
    charge: str = ""
    method: str = ""
    brand: str = ""
    last4: str = ""
    is_from_charge: bool = False  # then `occurred_at` is exact


def read_metadata(value: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the metadata of a Stripe object as text; null becomes an empty dict."""
    return {str(key): str(item) for key, item in dict(value or {}).items()}


def read_charge(charge: Mapping[str, Any]) -> CapturedPayment | None:
    """Return the captured payment of a charge; None when the charge captured no money."""
    if not (charge["paid"] and charge["captured"] and charge["status"] == "succeeded"):
        return None
    details = charge.get("payment_method_details") or {}
    card = details.get("card") or {}
    return CapturedPayment(
        payment_intent=charge["payment_intent"] or "",
        amount=charge["amount_captured"],
        currency=charge["currency"],
        metadata=read_metadata(charge["metadata"]),
        occurred_at=from_timestamp(charge["created"]),
        charge=charge["id"],
        method=details.get("type") or "",
        brand=card.get("brand") or "",
        last4=card.get("last4") or "",
        is_from_charge=True,
    )


def read_intent(intent: Mapping[str, Any], *, occurred_at: datetime) -> CapturedPayment | None:
    """Return the captured payment of a succeeded PaymentIntent, with the details of an expanded charge.

    None when neither says how much was captured: Stripe does not promise it, and the charge reports it, too.
    """
    charge = intent["latest_charge"]
    if charge and not isinstance(charge, str):
        captured = read_charge(charge)
        if captured is not None:
            return captured
    if intent["amount_received"] is None or intent["currency"] is None:
        return None
    return CapturedPayment(
        payment_intent=intent["id"],
        amount=intent["amount_received"],
        currency=intent["currency"],
        metadata=read_metadata(intent["metadata"]),
        occurred_at=occurred_at,
        charge=charge if isinstance(charge, str) else "",
    )


def read_session(session: Mapping[str, Any], *, occurred_at: datetime) -> CapturedPayment | None:
    """Return the captured payment of a completed Checkout Session; None while it is unpaid.

    Also None when it does not say how much was paid.
    """
    intent = session["payment_intent"]
    if session["payment_status"] != "paid" or not intent:
        return None
    if not isinstance(intent, str):
        return read_intent(intent, occurred_at=occurred_at)
    if session["amount_total"] is None or session["currency"] is None:
        return None
    return CapturedPayment(
        payment_intent=intent,
        amount=session["amount_total"],
        currency=session["currency"],
        metadata=read_metadata(session["metadata"]),
        occurred_at=occurred_at,
    )
