"""A few orders around the last end of the fiscal year, so that the demo's books show two years.

The days up to the end of the year are closed in their nights. A parcel of the last day is keyed on the day
after, so that its sale is of the new year, and 期ズレ一覧 lists it. All orders are done at the end.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from kikaku import days
from ledger.books.tax_rules import load_tax_rules
from ledger.closing import daily_close
from ledger.models import Order
from shop.demo.history import JCB, MASTERCARD, VISA, History, Written, past_clock

TIMES = ((-1, 10, 24), (0, 9, 12), (0, 21, 7), (1, 12, 18), (1, 19, 56))
CARDS = (VISA, MASTERCARD, JCB)
LAST_PICKUP_HOUR = 16  # of the carrier, JST
DAYS_TO_FINISH = 6  # after the last day of the year: every parcel has left, every refund is sent


def first_day(*, now: datetime) -> date:
    """Return the day of the first order: the last but one of the year."""
    return _year_end(now) - timedelta(days=1)


def _year_end(now: datetime) -> date:
    finished = days.yesterday(now) - timedelta(days=DAYS_TO_FINISH)
    return load_tax_rules().first_day_of_year(finished) - timedelta(days=1)


def write(*, now: datetime) -> Written:
    """Write the orders around the last end of the fiscal year that is past, into books without a closed day.

    Raises `HistoryRefused` if the shop has no goods or the stand-in's clock cannot be set, and
    `TaxStatusMissing`.
    """
    with past_clock():
        return _YearEnd(_year_end(now), now=now).write()


class _YearEnd(History):
    """Orders that are paid by card and shipped soon, and the closes of the days until the year ends."""

    def __init__(self, year_end: date, *, now: datetime) -> None:
        first, last = year_end - timedelta(days=1), year_end + timedelta(days=1)
        super().__init__(len(TIMES), first=first, last=last, now=now)
        self.year_end = year_end
        self.end = days.day_bounds(year_end + timedelta(days=DAYS_TO_FINISH))[1]

    def _times(self) -> Sequence[datetime]:
        return [
            days.day_bounds(self.year_end + timedelta(days=after))[0] + timedelta(hours=hour, minutes=minute)
            for after, hour, minute in TIMES
        ]

    def _plan_nights(self) -> None:
        super()._plan_nights()
        for day in (self.first, self.year_end):
            night = days.day_bounds(day)[1] + timedelta(hours=1)
            self._plan(night, lambda now: self._close(now))

    def _close(self, now: datetime) -> None:
        daily_close.close_day(days.yesterday(now), now=now)
        self.counts["days closed"] += 1

    def _plan_payment(self, order: Order, now: datetime) -> None:
        card = self.rng.choice(CARDS)
        self._plan(now + timedelta(minutes=3), lambda at: self._pay(order, card, at))
        self._plan(now + timedelta(minutes=8), self._fetch)  # before the parcel leaves, as the job does

    def _plan_fulfilment(self, order: Order, now: datetime) -> None:
        pickup = days.day_bounds(self.year_end)[0] + timedelta(hours=LAST_PICKUP_HOUR)
        if days.business_day(now) == self.year_end and now < pickup:
            keyed = days.day_bounds(self.year_end)[1] + timedelta(hours=9, minutes=self.rng.randrange(60))
            self._plan(keyed, lambda at: self._ship(order, "rest", at, shipped_on=self.year_end))
        else:
            super()._plan_fulfilment(order, now)
