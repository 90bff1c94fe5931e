"""Strict JSON: only what the standard knows and every database can store."""

import json
from typing import Any

MAX_DEPTH = 40  # levels; Stripe's events have about ten, SQLite refuses a thousand


class InvalidJson(ValueError):
    """The text is no strict JSON; the message is a predicate, such as "is not JSON"."""


def loads(text: bytes) -> Any:
    """Return the value of a JSON text in UTF-8.

    Raises `InvalidJson` for any other text, for NaN and infinite numbers, and beyond `MAX_DEPTH` levels.
    """
    try:
        value = json.loads(text.decode(), parse_constant=_refuse_constant, parse_float=_parse_finite)
    except (ValueError, RecursionError):
        raise InvalidJson("is not JSON") from None
    if _is_deeper_than(value, MAX_DEPTH):
        raise InvalidJson(f"is nested more than {MAX_DEPTH} levels deep")
    return value


def _refuse_constant(constant: str) -> float:
    """Raise ValueError for NaN and Infinity, which Python reads but JSON does not know."""
    raise ValueError(constant)


def _parse_finite(digits: str) -> float:
    """Return a number. Raises ValueError when it is too large for a float."""
    number = float(digits)
    return number if abs(number) != float("inf") else _refuse_constant(digits)


def _is_deeper_than(value: Any, levels: int) -> bool:
    layer = [value]
    for _level in range(levels):
        layer = [
            inner
            for outer in layer
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return bool(layer)
