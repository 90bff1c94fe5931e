"""Checks of single fields in Stripe's JSON: each returns whether a value is what its name says.

Amounts are integers in the smallest unit of their currency: JPY has no decimals.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

FieldCheck = Callable[[Any], bool]

ID = re.compile(r"[A-Za-z0-9_]{1,120}")
WORD = re.compile(r"[a-z0-9_.]{1,80}")
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
MAX_AMOUNT = 2_147_483_647  # of an integer column, in every database


def is_id(value: Any) -> bool:
    """Return whether a value is an id such as ch_123."""
    return type(value) is str and ID.fullmatch(value) is not None


def is_word(value: Any) -> bool:
    """Return whether a value is a word of Stripe's vocabulary: a status, a type, a currency."""
    return type(value) is str and WORD.fullmatch(value) is not None


def is_text(value: Any) -> bool:
    """Return whether a value is text that every database stores: no U+0000, no half of a surrogate pair."""
    return type(value) is str and UNSTORABLE.search(value) is None


def is_url(value: Any) -> bool:
    """Return whether a value is the address of a web page."""
    return is_text(value) and value.startswith(("https://", "http://"))


def is_amount(value: Any) -> bool:
    """Return whether a value is an amount of zero or more."""
    return type(value) is int and 0 <= value <= MAX_AMOUNT


def is_positive_amount(value: Any) -> bool:
    """Return whether a value is an amount above zero."""
    return type(value) is int and 0 < value <= MAX_AMOUNT


def is_signed_amount(value: Any) -> bool:
    """Return whether a value is an amount of either sign."""
    return type(value) is int and -MAX_AMOUNT <= value <= MAX_AMOUNT


def is_flag(value: Any) -> bool:
    """Return whether a value is true or false."""
    return type(value) is bool


def is_metadata(value: Any) -> bool:
    """Return whether a value maps text to text."""
    return isinstance(value, Mapping) and all(is_text(key) and is_text(item) for key, item in value.items())


def named(name: str, check: FieldCheck) -> FieldCheck:
    """Return the check with a name for error messages."""
    check.__name__ = name
    return check


def or_null(check: FieldCheck) -> FieldCheck:
    """Return a check that also accepts null."""
    return named(f"{check.__name__} or null", lambda value: value is None or check(value))


def list_of(check: FieldCheck) -> FieldCheck:
    """Return a check of a list of values."""
    return named(
        f"list of {check.__name__}", lambda value: isinstance(value, list) and all(map(check, value))
    )


def map_of(check: FieldCheck) -> FieldCheck:
    """Return a check of an object that maps words to values."""
    return named(
        f"map of {check.__name__}",
        lambda value: (
            isinstance(value, Mapping) and all(is_word(key) and check(item) for key, item in value.items())
        ),
    )


def object_with(name: str, fields: Mapping[str, FieldCheck]) -> FieldCheck:
    """Return a check of an object with at least these fields; one that may be null may be missing."""
    return named(
        name,
        lambda value: (
            isinstance(value, Mapping) and all(check(value.get(field)) for field, check in fields.items())
        ),
    )
