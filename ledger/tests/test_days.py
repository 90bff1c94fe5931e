"""The business day of an instant."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kikaku.days import business_day, day_bounds, yesterday

INSTANTS = st.datetimes(datetime(2000, 1, 2), datetime(2100, 1, 1)).map(
    lambda naive: naive.replace(tzinfo=UTC)
)


def test_a_day_begins_at_15_utc_of_the_previous_day() -> None:
    assert business_day(datetime(2026, 11, 22, 14, 59, 59, 999999, UTC)) == date(2026, 11, 22)
    assert business_day(datetime(2026, 11, 22, 15, 0, 0, 0, UTC)) == date(2026, 11, 23)


def test_a_payment_after_16_utc_belongs_to_the_next_japanese_day() -> None:
    assert business_day(datetime(2026, 12, 31, 16, 30, tzinfo=UTC)) == date(2027, 1, 1)


def test_the_close_at_16_utc_is_of_the_day_that_ended_an_hour_before() -> None:
    assert yesterday(datetime(2026, 11, 23, 16, 0, tzinfo=UTC)) == date(2026, 11, 23)


def test_a_naive_instant_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        business_day(datetime(2026, 11, 22, 15, 0))


@given(INSTANTS)
def test_an_instant_lies_within_the_bounds_of_its_day_only(instant: datetime) -> None:
    day = business_day(instant)
    start, end = day_bounds(day)
    assert start <= instant < end
    assert end - start == timedelta(days=1)
    assert day_bounds(day + timedelta(days=1))[0] == end
