"""What the code asks of a payment method: one that is paid on Stripe's page, or later with a voucher."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from ledger.models import OutgoingMail, Refund
from ledger.stripe.addresses import is_standard
from ledger.stripe.fields import FieldCheck


class PaymentMethod:
    """A payment method on Stripe's hosted page.

    The defaults are those of a method that is paid at once and refunded to where the money came from.
    """

    code: ClassVar[str] = ""  # Stripe's name of it, a member of `Payment.Method`
    report_label: ClassVar[str] = ""  # its name in the report of the daily close, in Japanese
    refunds_to_bank_account = False  # Stripe asks the customer for the account by mail
    refund_waits_mail: ClassVar[OutgoingMail.Kind] = OutgoingMail.Kind.REFUND_WAITS  # announces Stripe's mail

    def is_offered(self, total: int) -> bool:
        """Return whether an order of `total` JPY can be paid with it."""
        return True

    def session_options(self) -> dict[str, Any]:
        """Return its part of `payment_method_options` of a Checkout Session."""
        return {}

    def refund_params(self, refund: Refund) -> dict[str, Any]:
        """Return its parameters of a refund at Stripe."""
        email = refund.order.email
        return {"instructions_email": email} if self.refunds_to_bank_account and is_standard(email) else {}


@dataclass(frozen=True, kw_only=True)
class Voucher:
    """Instructions for a payment that the customer makes later, outside Stripe's page."""

    method: str  # code of its payment method
    url: str  # Stripe's page with the instructions; may be empty
    expires_at: datetime  # the payment is accepted until then
    codes: dict[str, dict[str, str]]  # what the customer enters, by place of payment


class VoucherMethod(PaymentMethod, ABC):
    """A payment method that is paid later: the completed page returns a voucher, and the order waits."""

    next_action: ClassVar[str]  # the part of PaymentIntent.next_action that contains the voucher
    voucher_fields: ClassVar[Mapping[str, FieldCheck]]  # what that part must contain
    voucher_mail: ClassVar[OutgoingMail.Kind]  # how to pay
    expired_mail: ClassVar[OutgoingMail.Kind]  # it was not paid in time, and the order has ended
    do_not_pay_template: ClassVar[str]  # a sentence in the mail of a cancelled order

    @abstractmethod
    def days_to_pay(self) -> int:
        """Return for how many days after its own a voucher can be paid."""

    @abstractmethod
    def voucher(self, intent: Mapping[str, Any]) -> Voucher | None:
        """Return the voucher of a PaymentIntent; None when it waits for something else."""

    @abstractmethod
    def is_expired(self, intent: Mapping[str, Any]) -> bool:
        """Return whether a PaymentIntent had a voucher of this method that was not paid in time."""
