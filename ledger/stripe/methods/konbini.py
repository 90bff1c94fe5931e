"""Payment at a convenience store (https://docs.stripe.com/payments/konbini/accept-a-payment)."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ledger.models import OutgoingMail, Payment
from ledger.stripe.fields import is_text, is_url, map_of, object_with, or_null
from ledger.stripe.methods.base import Voucher, VoucherMethod
from ledger.stripe.pages import is_stripe_page
from ledger.stripe.timestamps import from_timestamp, is_timestamp

EXPIRED_ERROR_CODE = "payment_intent_payment_attempt_expired"
CODE_NAMES = ("payment_code", "confirmation_number")  # what a customer enters at a store
STORE_CODES = object_with("codes of a store", dict.fromkeys(CODE_NAMES, or_null(is_text)))

STORES: dict[str, str | Promise] = {  # Stripe's names, in the order in which they are shown
    "familymart": _("FamilyMart"),
    "lawson": _("Lawson"),
    "ministop": _("Ministop"),
    "seicomart": _("Seicomart"),
}


class Konbini(VoucherMethod):
    """Cash at a convenience store, until 23:59:59 JST some days later; refunded to a bank account."""

    code = Payment.Method.KONBINI
    report_label = "コンビニ払い"
    next_action = "konbini_display_details"
    voucher_fields = {
        "expires_at": is_timestamp,
        "hosted_voucher_url": or_null(is_url),
        "stores": or_null(map_of(or_null(STORE_CODES))),
    }
    voucher_mail = OutgoingMail.Kind.VOUCHER
    expired_mail = OutgoingMail.Kind.VOUCHER_EXPIRED
    do_not_pay_template = "ledger/mail/konbini_do_not_pay.txt"
    refunds_to_bank_account = True

    @property
    def minimum(self) -> int:
        """The smallest total (JPY) that Stripe accepts at a convenience store."""
        return int(settings.KONBINI_MINIMUM)

    @property
    def maximum(self) -> int:
        """The largest total (JPY) that Stripe accepts at a convenience store."""
        return int(settings.KONBINI_MAXIMUM)

    def is_offered(self, total: int) -> bool:
        """Return whether an order of `total` JPY can be paid at a convenience store."""
        return self.minimum <= total <= self.maximum

    def session_options(self) -> dict[str, Any]:
        """Return for how many days the voucher is to be valid."""
        return {"expires_after_days": self.days_to_pay()}

    def days_to_pay(self) -> int:
        """Return for how many days after its own a voucher can be paid."""
        return int(settings.KONBINI_DAYS)

    def voucher(self, intent: Mapping[str, Any]) -> Voucher | None:
        """Return the voucher of a PaymentIntent, with the codes of each store."""
        details = (intent["next_action"] or {}).get(self.next_action)
        if not details:
            return None
        stores = dict(details.get("stores") or {})
        return Voucher(
            method=self.code,
            url=_trusted_url(details.get("hosted_voucher_url") or ""),
            expires_at=from_timestamp(details["expires_at"]),
            codes={
                store: {name: str(codes[name]) for name in CODE_NAMES if codes.get(name)}
                for store, codes in stores.items()
                if codes
            },
        )

    def is_expired(self, intent: Mapping[str, Any]) -> bool:
        """Return whether the voucher of a PaymentIntent was not paid in time; a declined card has none."""
        error = intent["last_payment_error"] or {}
        return intent["status"] == "requires_payment_method" and error.get("code") == EXPIRED_ERROR_CODE


def _trusted_url(url: str) -> str:
    """Return the address if it is Stripe's; else nothing, since a customer can pay with the codes alone."""
    return url if is_stripe_page(url) else ""
