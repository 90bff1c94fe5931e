"""The shapes of Stripe's objects: the fields that we read, and no other.

Events and answers are checked here once, when they arrive; the code behind it reads their fields without
doubt.
"""

from collections.abc import Mapping
from typing import Any

from ledger.stripe.fields import (
    FieldCheck,
    is_amount,
    is_flag,
    is_id,
    is_metadata,
    is_positive_amount,
    is_signed_amount,
    is_text,
    is_url,
    is_word,
    list_of,
    named,
    object_with,
    or_null,
)
from ledger.stripe.methods import VOUCHER_METHODS
from ledger.stripe.timestamps import is_timestamp


class InvalidStripeObject(Exception):
    """An object of Stripe is of another kind, or lacks a field that we read. The text says which."""


def expandable(kind: str) -> FieldCheck:
    """Return a check that accepts an id, or the object itself, checked like any other of its kind."""

    def accepts(value: Any) -> bool:
        if isinstance(value, Mapping):
            check(value, kind)
            return True
        return is_id(value)

    return named(f"id or {kind}", accepts)


BALANCE_PART = object_with("part of the balance", {"amount": is_signed_amount, "currency": is_word})
FEE_PART = object_with("part of the fee", {"amount": is_signed_amount, "type": is_word})
CARD = object_with("card", {"brand": or_null(is_word), "last4": or_null(is_id)})
METHOD_DETAILS = object_with("payment method", {"type": or_null(is_word), "card": or_null(CARD)})
ERROR = object_with("error", {"message": or_null(is_text), "code": or_null(is_word)})
NEXT_ACTION = object_with(
    "next action",
    {
        method.next_action: or_null(object_with("voucher", method.voucher_fields))
        for method in VOUCHER_METHODS.values()
    },
)

SHAPES: dict[str, dict[str, FieldCheck]] = {
    "account": {"id": is_id},
    "checkout.session": {
        "id": is_id,
        "status": or_null(is_word),
        "payment_status": is_word,
        "amount_total": or_null(is_amount),
        "currency": or_null(is_word),
        "url": or_null(is_url),
        "payment_intent": or_null(expandable("payment_intent")),
        "payment_method_types": or_null(list_of(is_word)),
        "metadata": or_null(is_metadata),
    },
    "payment_intent": {
        "id": is_id,
        "status": is_word,
        "amount_received": or_null(is_amount),
        "currency": or_null(is_word),
        "latest_charge": or_null(expandable("charge")),
        "last_payment_error": or_null(ERROR),
        "next_action": or_null(NEXT_ACTION),
        "metadata": or_null(is_metadata),
    },
    "charge": {
        "id": is_id,
        "status": is_word,
        "paid": is_flag,
        "captured": is_flag,
        "amount": is_amount,
        "amount_captured": is_amount,
        "currency": is_word,
        "created": is_timestamp,
        "payment_intent": or_null(is_id),
        "payment_method_details": or_null(METHOD_DETAILS),
        "metadata": or_null(is_metadata),
    },
    "refund": {
        "id": is_id,
        "status": or_null(is_word),
        "amount": is_positive_amount,
        "currency": is_word,
        "created": is_timestamp,
        "charge": or_null(is_id),
        "payment_intent": or_null(is_id),
        "balance_transaction": or_null(is_id),
        "failure_reason": or_null(is_text),
        "metadata": or_null(is_metadata),
    },
    "balance_transaction": {
        "id": is_id,
        "type": is_word,
        "balance_type": or_null(is_word),
        "source": or_null(is_id),
        "amount": is_signed_amount,
        "fee": is_signed_amount,
        "net": is_signed_amount,
        "currency": is_word,
        "created": is_timestamp,
        "available_on": is_timestamp,
        "description": or_null(is_text),
        "fee_details": list_of(FEE_PART),
    },
    "balance": {
        "available": list_of(BALANCE_PART),
        "pending": list_of(BALANCE_PART),
    },
}


def check(value: Any, kind: str) -> None:
    """Check that a JSON value is an object of Stripe of a kind, with every field of `SHAPES`.

    A field that may be null may also be missing; then it is set to None. Raises `InvalidStripeObject`.
    """
    if not isinstance(value, dict) or value.get("object") != kind:
        raise InvalidStripeObject(f"Stripe's object is no {kind}.")
    for field, accepts in SHAPES[kind].items():
        if not accepts(value.setdefault(field, None)):
            raise InvalidStripeObject(f"{kind}.{field} must be: {accepts.__name__.replace('is_', '')}.")
