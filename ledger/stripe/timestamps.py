"""Stripe's timestamps: whole seconds since 1970 in UTC, converted and checked in one place."""

from datetime import UTC, datetime
from typing import Any

# 2001 to 2099 in seconds; the days just outside still have a date in Japan
VALID_TIMESTAMPS = range(1_000_000_000, 4_102_444_800)


def is_timestamp(value: Any) -> bool:
    """Return whether a JSON value is a Stripe timestamp that every database can hold."""
    return type(value) is int and value in VALID_TIMESTAMPS


def from_timestamp(seconds: int) -> datetime:
    """Return the aware UTC datetime of a Stripe timestamp."""
    return datetime.fromtimestamp(seconds, UTC)


def to_timestamp(instant: datetime) -> int:
    """Return the Stripe timestamp of an aware datetime; fractions of a second are dropped."""
    return int(instant.timestamp())
