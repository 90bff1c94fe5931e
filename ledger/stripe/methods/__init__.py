"""The payment methods that the shop offers: one class each, listed in `METHODS`."""

from collections.abc import Mapping, Sequence
from typing import Any

from ledger.models import CheckoutAttempt
from ledger.stripe.methods.base import PaymentMethod, Voucher, VoucherMethod
from ledger.stripe.methods.card import Card
from ledger.stripe.methods.konbini import Konbini

__all__ = [
    "CARD",
    "KONBINI",
    "METHODS",
    "VOUCHER_METHODS",
    "PaymentMethod",
    "Voucher",
    "VoucherMethod",
    "days_to_pay_later",
    "find_voucher",
    "has_expired_voucher",
    "method_named",
    "method_of_voucher",
    "offered_methods",
    "voucher_method_among",
]

CARD, KONBINI = Card(), Konbini()
METHODS: dict[str, PaymentMethod] = {method.code: method for method in (CARD, KONBINI)}
VOUCHER_METHODS = {code: method for code, method in METHODS.items() if isinstance(method, VoucherMethod)}
UNKNOWN_METHOD = PaymentMethod()  # of a payment whose method is not ours, such as Link, or not yet known


def offered_methods(total: int, *, vouchers: bool = True) -> list[PaymentMethod]:
    """Return the methods with which an order of `total` JPY can be paid.

    Without `vouchers` only those that are paid at once.
    """
    return [
        method
        for method in METHODS.values()
        if method.is_offered(total) and (vouchers or not isinstance(method, VoucherMethod))
    ]


def method_named(code: str) -> PaymentMethod:
    """Return the method with Stripe's name `code`; `UNKNOWN_METHOD` when it is not in `METHODS`."""
    return METHODS.get(code, UNKNOWN_METHOD)


def voucher_method_among(codes: Sequence[str]) -> str:
    """Return the voucher method among Stripe's names of methods; "" if there is none, or more than one."""
    found = [code for code in codes if code in VOUCHER_METHODS]
    return found[0] if len(found) == 1 else ""


def method_of_voucher(attempt: CheckoutAttempt) -> VoucherMethod | None:
    """Return the method of an attempt that is paid later.

    Until Stripe has reported its voucher it is the only method that we offer of this sort; None with several.
    """
    only = next(iter(VOUCHER_METHODS.values())) if len(VOUCHER_METHODS) == 1 else None
    return VOUCHER_METHODS.get(attempt.method, only)


def days_to_pay_later() -> int:
    """Return for how many days a voucher can be paid of which Stripe has not reported the method."""
    return max(method.days_to_pay() for method in VOUCHER_METHODS.values())


def find_voucher(intent: Mapping[str, Any]) -> Voucher | None:
    """Return the voucher of a PaymentIntent; None when it has none (it may wait for an authentication)."""
    found = (method.voucher(intent) for method in VOUCHER_METHODS.values())
    return next((voucher for voucher in found if voucher is not None), None)


def has_expired_voucher(intent: Mapping[str, Any]) -> bool:
    """Return whether a PaymentIntent had a voucher that was not paid in time."""
    return any(method.is_expired(intent) for method in VOUCHER_METHODS.values())
