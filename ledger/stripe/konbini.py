"""Vouchers: what a customer takes to a convenience store to pay at its counter, days later or never.

Read from Stripe's PaymentIntent (https://docs.stripe.com/payments/konbini/accept-a-payment); nothing is written here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ledger.stripe.timestamps import from_timestamp

ATTEMPT_EXPIRED = (
    "payment_intent_payment_attempt_expired"  # Stripe's code of a voucher that was not paid in time
)

STRIPES = re.compile(r"https://([a-z0-9-]+\.)*stripe\.com/")

CHAINS: dict[str, str | Promise] = {  # as Stripe names them, in the order in which they are shown
    "familymart": _("FamilyMart"),
    "lawson": _("Lawson"),
    "ministop": _("Ministop"),
    "seicomart": _("Seicomart"),
}


@dataclass(frozen=True, kw_only=True)
class Voucher:
    """What the customer needs at the counter."""

    url: str  # Stripe's page with the instructions, to be shown or printed
    expires_at: datetime  # 23:59:59 JST of the last day
    codes: dict[str, dict[str, str]]  # by chain: payment_code, confirmation_number


def offered(total: int) -> bool:
    """Say whether an order of `total` JPY can be paid at a convenience store."""
    return bool(settings.KONBINI_MINIMUM <= total <= settings.KONBINI_MAXIMUM)


def of_intent(intent: Mapping[str, Any]) -> Voucher | None:
    """Read the voucher of a PaymentIntent; None when it waits for no counter (but, say, for an authentication)."""
    details = (intent["next_action"] or {}).get("konbini_display_details")
    if not details:
        return None
    return Voucher(
        url=_of_stripe(details.get("hosted_voucher_url") or ""),
        expires_at=from_timestamp(details["expires_at"]),
        codes={
            chain: {
                name: str(codes[name]) for name in ("payment_code", "confirmation_number") if codes.get(name)
            }
            for chain, codes in dict(details.get("stores") or {}).items()
            if codes
        },
    )


def _of_stripe(url: str) -> str:
    """Give an address that we send customers to, or nothing when it is not Stripe's: the codes are enough to pay."""
    of_stand_in = settings.SANDBOX and url.startswith(f"{settings.SANDBOX_BASE_URL}/")
    return url if STRIPES.match(url) or of_stand_in else ""


def is_expired(intent: Mapping[str, Any]) -> bool:
    """Return whether the voucher of a PaymentIntent was not paid in time; a declined card does not count."""
    error = intent["last_payment_error"] or {}
    return intent["status"] == "requires_payment_method" and error.get("code") == ATTEMPT_EXPIRED
