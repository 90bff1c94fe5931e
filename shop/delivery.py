"""When a parcel arrives: business days, a cut-off hour, a plain rule."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import jpholiday
from django.conf import settings

TOKYO = ZoneInfo("Asia/Tokyo")


@dataclass(frozen=True, slots=True)
class Delivery:
    """What an order placed now may expect; days are JST."""

    today: bool  # still dispatched today
    dispatch: date
    arrival: date
    cutoff: int  # hour (JST) up to which the dispatch day holds


def is_business_day(day: date, closed: Collection[date] = ()) -> bool:
    """Say whether parcels leave on `day`: Monday to Friday, no public holiday (国民の祝日), the shop not closed."""
    return day.weekday() < 5 and not jpholiday.is_holiday(day) and day not in closed


def delivery(now: datetime, *, cutoff: int, transit_days: int, closed: Collection[date] = ()) -> Delivery:
    """Work out dispatch and arrival of an order placed at `now` (aware).

    Orders before the cut-off hour on a business day leave that day, later ones on the next business day;
    the parcel takes `transit_days` calendar days, since carriers deliver at weekends too.
    """
    local = now.astimezone(TOKYO)
    day = local.date()
    if local.hour >= cutoff:
        day += timedelta(days=1)
    while not is_business_day(day, closed):
        day += timedelta(days=1)
    return Delivery(
        today=day == local.date(), dispatch=day, arrival=day + timedelta(days=transit_days), cutoff=cutoff
    )


def delivery_period(now: datetime) -> str:
    """Name the time in which `expected_delivery` says the same: a day in Japan, before or after the cut-off hour."""
    local = now.astimezone(TOKYO)
    return f"{local.date()} {'after' if local.hour >= settings.DISPATCH_CUTOFF_HOUR else 'before'}"


def expected_delivery(now: datetime) -> Delivery:
    """Work out the delivery of an order placed or paid at `now`, by the shop's terms in the settings."""
    return delivery(
        now,
        cutoff=settings.DISPATCH_CUTOFF_HOUR,
        transit_days=settings.DELIVERY_DAYS,
        closed=settings.CLOSED_DAYS,
    )
