"""What Stripe's objects must look like before our books believe them: the fields that we read, and no other.

Events and answers are checked here once, at the edge, so that the code behind it reads fields and never half-understands
one. Amounts are integers in the smallest unit: JPY has no decimals.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from ledger.stripe.timestamps import is_timestamp

IDENT = re.compile(r"[A-Za-z0-9_]{1,120}")
WORD = re.compile(r"[a-z0-9_.]{1,80}")
UNKEPT = re.compile("[\x00\ud800-\udfff]")
LARGEST = 2_147_483_647  # what an integer column holds everywhere


class InvalidStripeObject(Exception):
    """An object of Stripe lacks a field that we read, or it is not of its kind. The text says which."""


Check = Callable[[Any], bool]


def ident(value: Any) -> bool:
    """Accept an id such as ch_123."""
    return type(value) is str and IDENT.fullmatch(value) is not None


def word(value: Any) -> bool:
    """Accept a word of Stripe's vocabulary: a status, a type, a currency."""
    return type(value) is str and WORD.fullmatch(value) is not None


def text(value: Any) -> bool:
    """Accept text that every database keeps: no U+0000, no half of a surrogate pair."""
    return type(value) is str and UNKEPT.search(value) is None


def address(value: Any) -> bool:
    """Accept the address of a web page."""
    return text(value) and value.startswith(("https://", "http://"))


def yen(value: Any) -> bool:
    """Accept an amount that is not negative."""
    return type(value) is int and 0 <= value <= LARGEST


def change(value: Any) -> bool:
    """Accept an amount of either sign."""
    return type(value) is int and -LARGEST <= value <= LARGEST


def positive(value: Any) -> bool:
    """Accept an amount above zero."""
    return type(value) is int and 0 < value <= LARGEST


def flag(value: Any) -> bool:
    """Accept true and false."""
    return type(value) is bool


def mapping(value: Any) -> bool:
    """Accept an object."""
    return isinstance(value, Mapping)


def texts(value: Any) -> bool:
    """Accept metadata: text to text."""
    return isinstance(value, Mapping) and all(text(key) and text(item) for key, item in value.items())


def or_null(check: Check) -> Check:
    """Accept null besides."""

    def checked(value: Any) -> bool:
        return value is None or check(value)

    checked.__name__ = f"{check.__name__} or null"
    return checked


def some(check: Check) -> Check:
    """Accept a list of what `check` accepts."""

    def checked(value: Any) -> bool:
        return isinstance(value, list) and all(map(check, value))

    checked.__name__ = f"list of {check.__name__}"
    return checked


def expandable(kind: str) -> Check:
    """Accept an id, or in its place the object itself, of which the same is asked as anywhere."""

    def checked(value: Any) -> bool:
        if ident(value):
            return True
        if isinstance(value, Mapping):
            check(value, kind)
            return True
        return False

    checked.__name__ = f"id or {kind}"
    return checked


def _of(fields: Mapping[str, Check], name: str) -> Check:
    def checked(value: Any) -> bool:
        return isinstance(value, Mapping) and all(test(value.get(key)) for key, test in fields.items())

    checked.__name__ = name
    return checked


part = _of({"amount": change, "currency": word}, "part of the balance")
fee_part = _of({"amount": change, "type": word}, "part of the fee")
card = _of({"brand": or_null(word), "last4": or_null(ident)}, "card")
method = _of({"type": or_null(word), "card": or_null(card)}, "payment method")
error = _of({"message": or_null(text), "code": or_null(word)}, "error")
codes = _of({"payment_code": or_null(text), "confirmation_number": or_null(text)}, "codes of a chain")


def stores(value: Any) -> bool:
    """Accept the codes of a voucher by chain."""
    return isinstance(value, Mapping) and all(word(name) and or_null(codes)(it) for name, it in value.items())


voucher = _of(
    {"expires_at": is_timestamp, "hosted_voucher_url": or_null(address), "stores": or_null(stores)}, "voucher"
)
action = _of({"konbini_display_details": or_null(voucher)}, "next action")

SHAPES: dict[str, dict[str, Check]] = {
    "checkout.session": {
        "id": ident,
        "status": or_null(word),
        "payment_status": word,
        "amount_total": or_null(yen),
        "currency": or_null(word),
        "url": or_null(address),
        "payment_intent": or_null(expandable("payment_intent")),
        "metadata": or_null(texts),
    },
    "payment_intent": {
        "id": ident,
        "status": word,
        "amount_received": yen,
        "currency": word,
        "latest_charge": or_null(expandable("charge")),
        "last_payment_error": or_null(error),
        "next_action": or_null(action),
        "metadata": or_null(texts),
    },
    "charge": {
        "id": ident,
        "status": word,
        "paid": flag,
        "captured": flag,
        "amount": yen,
        "amount_captured": yen,
        "currency": word,
        "created": is_timestamp,
        "payment_intent": or_null(ident),
        "payment_method_details": or_null(method),
        "metadata": or_null(texts),
    },
    "refund": {
        "id": ident,
        "status": or_null(word),
        "amount": positive,
        "currency": word,
        "created": is_timestamp,
        "charge": or_null(ident),
        "payment_intent": or_null(ident),
        "balance_transaction": or_null(ident),
        "failure_reason": or_null(text),
        "metadata": or_null(texts),
    },
    "balance_transaction": {
        "id": ident,
        "type": word,
        "source": or_null(ident),
        "amount": change,
        "fee": change,
        "net": change,
        "currency": word,
        "created": is_timestamp,
        "available_on": is_timestamp,
        "description": or_null(text),
        "fee_details": some(fee_part),
    },
    "balance": {
        "available": some(part),
        "pending": some(part),
    },
}


def check(told: Any, kind: str) -> None:
    """Make sure that an object of Stripe is of a kind, with every field that we read of that kind.

    A field that may be null may be missing too, and is filled in. Raises `InvalidStripeObject`.
    """
    if not isinstance(told, dict) or told.get("object") != kind:
        raise InvalidStripeObject(f"Stripe's object is no {kind}.")
    for name, accepts in SHAPES[kind].items():
        if not accepts(told.setdefault(name, None)):
            raise InvalidStripeObject(f"{kind}.{name} must be: {accepts.__name__}.")
