"""Sales of the last 30 days as a chart: paid orders that were not cancelled, by JST day."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import Case, Count, IntegerField, Sum, Value, When

from kikaku.days import business_day, day_bounds
from ledger.models import Order
from ledger.models.orders import OrderStatus

DAYS = 30  # today included


@dataclass(frozen=True)
class Bar:
    """A day of the chart; heights are percent of the highest day."""

    day: date
    orders: int
    yen: int  # JPY, tax and shipping included
    orders_height: int
    yen_height: int
    is_labelled: bool


@dataclass(frozen=True)
class Sales:
    """The days of the chart, oldest first, and their sums."""

    bars: tuple[Bar, ...]

    @property
    def today(self) -> Bar:
        """The last day."""
        return self.bars[-1]

    @property
    def orders(self) -> int:
        """The number of orders of all days."""
        return sum(bar.orders for bar in self.bars)

    @property
    def yen(self) -> int:
        """The sum (JPY) of all days."""
        return sum(bar.yen for bar in self.bars)

    @property
    def most_orders(self) -> int:
        """The number of orders of the day with most of them."""
        return max(bar.orders for bar in self.bars)

    @property
    def most_yen(self) -> int:
        """The sum (JPY) of the best day."""
        return max(bar.yen for bar in self.bars)


def sales(*, now: datetime) -> Sales:
    """Return the sales of the last 30 business days. One query, of 30 rows at most."""
    today = business_day(now)
    dates = [today - timedelta(days=back) for back in reversed(range(DAYS))]
    # a day is a range of instants: SQL never computes one
    which = Case(
        *(When(paid_at__lt=day_bounds(day)[1], then=Value(number)) for number, day in enumerate(dates)),
        output_field=IntegerField(),
    )
    rows = (
        Order.objects.filter(paid_at__gte=day_bounds(dates[0])[0], paid_at__lt=day_bounds(today)[1])
        .exclude(status=OrderStatus.CANCELLED)
        .order_by()
        .annotate(which=which)
        .values_list("which")
        .annotate(orders=Count("pk"), yen=Sum("total"))
    )
    found = {number: (orders, yen) for number, orders, yen in rows}
    most_orders = max((orders for orders, _yen in found.values()), default=0)
    most_yen = max((yen for _orders, yen in found.values()), default=0)
    bars = []
    for number, day in enumerate(dates):
        orders, yen = found.get(number, (0, 0))
        bars.append(
            Bar(
                day,
                orders,
                yen,
                orders_height=_percent(orders, most_orders),
                yen_height=_percent(yen, most_yen),
                is_labelled=(DAYS - 1 - number) % 7 == 0,
            )
        )
    return Sales(tuple(bars))


def _percent(part: int, whole: int) -> int:
    """Return a share in percent; what is there at all is seen."""
    return max(1, part * 100 // whole) if part else 0
