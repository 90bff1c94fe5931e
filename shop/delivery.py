"""When a parcel arrives: shipping days, a cut-off hour, days in transit."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import jpholiday
from django.conf import settings

from kikaku.days import JST


@dataclass(frozen=True, slots=True)
class Delivery:
    """Dispatch and arrival of an order that is placed now; days are JST."""

    today: bool  # dispatched today
    dispatch: date
    arrival: date
    cutoff: int  # hour (JST); later orders are dispatched on the next shipping day


def is_shipping_day(day: date, closed: Collection[date] = ()) -> bool:
    """Return whether parcels leave on `day`: a weekday, no public holiday (国民の祝日), not in `closed`."""
    return day.weekday() < 5 and not jpholiday.is_holiday(day) and day not in closed


def plan_delivery(
    now: datetime, *, cutoff: int, transit_days: int, closed: Collection[date] = ()
) -> Delivery:
    """Return dispatch and arrival of an order placed at `now` (aware).

    Orders before the cut-off hour of a shipping day leave that day, later ones on the next shipping day.
    The parcel takes `transit_days` calendar days, since carriers deliver at weekends too.
    """
    local = now.astimezone(JST)
    day = local.date()
    if local.hour >= cutoff:
        day += timedelta(days=1)
    while not is_shipping_day(day, closed):
        day += timedelta(days=1)
    return Delivery(
        today=day == local.date(), dispatch=day, arrival=day + timedelta(days=transit_days), cutoff=cutoff
    )


def delivery_period(now: datetime) -> str:
    """Return the period with the same `expected_delivery`: a JST day, before or after the cut-off."""
    local = now.astimezone(JST)
    return f"{local.date()} {'after' if local.hour >= settings.DISPATCH_CUTOFF_HOUR else 'before'}"


def expected_delivery(now: datetime) -> Delivery:
    """Return the delivery of an order placed or paid at `now`, by the terms in the settings."""
    return plan_delivery(
        now,
        cutoff=settings.DISPATCH_CUTOFF_HOUR,
        transit_days=settings.DELIVERY_DAYS,
        closed=settings.CLOSED_DAYS,
    )
