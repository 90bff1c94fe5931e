"""The days on which a parcel leaves and arrives."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kikaku.days import JST
from ledger.sales.delivery import is_shipping_day, plan_delivery


def jst(text: str) -> datetime:
    """Return the UTC instant of a time in Japan."""
    return datetime.fromisoformat(text).replace(tzinfo=JST).astimezone(UTC)


@pytest.mark.parametrize(
    ("ordered", "today", "dispatch", "arrival"),
    [
        ("2026-11-24T14:59", True, date(2026, 11, 24), date(2026, 11, 26)),  # Tuesday before the cut-off
        ("2026-11-24T15:00", False, date(2026, 11, 25), date(2026, 11, 27)),
        ("2026-11-27T16:00", False, date(2026, 11, 30), date(2026, 12, 2)),  # Friday evening → Monday
        ("2026-11-28T09:00", False, date(2026, 11, 30), date(2026, 12, 2)),  # Saturday
        ("2026-11-24T00:00", True, date(2026, 11, 24), date(2026, 11, 26)),  # still Monday in UTC
        ("2026-11-20T16:00", False, date(2026, 11, 24), date(2026, 11, 26)),  # Monday is 勤労感謝の日
        (
            "2026-05-02T09:00",
            False,
            date(2026, 5, 7),
            date(2026, 5, 9),
        ),  # 憲法記念日 on a Sunday: 6 May is off too
        ("2026-12-31T10:00", False, date(2027, 1, 4), date(2027, 1, 6)),  # closed over New Year
    ],
)
def test_orders_before_the_cut_off_leave_the_same_shipping_day(
    ordered: str, today: bool, dispatch: date, arrival: date
) -> None:
    closed = {date(2026, 12, 31), date(2027, 1, 1)}
    found = plan_delivery(jst(ordered), cutoff=15, transit_days=2, closed=closed)
    assert (found.today, found.dispatch, found.arrival) == (today, dispatch, arrival)


@given(st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)), st.integers(0, 24))
def test_a_parcel_leaves_on_a_shipping_day_and_never_before_the_order(now: datetime, cutoff: int) -> None:
    found = plan_delivery(now, cutoff=cutoff, transit_days=2)
    assert is_shipping_day(found.dispatch)
    assert found.dispatch >= now.astimezone(JST).date()
    assert found.today == (found.dispatch == now.astimezone(JST).date())
