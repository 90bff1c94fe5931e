"""Business days: calendar days in Asia/Tokyo. UTC instants are converted to them here only."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

JST = ZoneInfo("Asia/Tokyo")


def business_day(instant: datetime) -> date:
    """Return the JST day of an aware instant: D when D−1 15:00Z ≤ t < D 15:00Z.

    Raises `ValueError` for a naive instant, which is ambiguous.
    """
    if instant.tzinfo is None:
        raise ValueError(f"{instant!r} has no time zone.")
    return instant.astimezone(JST).date()


def day_bounds(day: date) -> tuple[datetime, datetime]:
    """Return the UTC instants [start, end) of a JST day."""
    start = datetime.combine(day, time.min, JST).astimezone(UTC)
    return start, datetime.combine(day + timedelta(days=1), time.min, JST).astimezone(UTC)


def yesterday(now: datetime) -> date:
    """Return the last JST day that has ended at `now`."""
    return business_day(now) - timedelta(days=1)


def last_instant(day: date) -> datetime:
    """Return the last microsecond of a JST day: when a fact happened of which only the day is known."""
    return day_bounds(day)[1] - timedelta.resolution


def is_day_only(instant: datetime) -> bool:
    """Return whether an instant stands for a whole JST day; see `last_instant`."""
    return instant == last_instant(business_day(instant))
