"""When a parcel arrives: shipping days, a cut-off hour, days in transit by prefecture and carrier."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import jpholiday
from django.conf import settings
from django.db.models import CharField, Q, Value
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from kikaku.days import JST
from kikaku.transactions import unit_of_work
from ledger.models import Carrier, DeliveryTime, Order, RemoteArea
from ledger.models.delivery import PREFECTURE_NUMBERS, PREFECTURES

# region, its first and its last prefecture: they are numbered from north to south
REGIONS: tuple[tuple[str | Promise, str, str], ...] = (
    (_("Hokkaido"), "北海道", "北海道"),
    (_("Tohoku"), "青森県", "福島県"),
    (_("Kanto"), "茨城県", "神奈川県"),
    (_("Chubu"), "新潟県", "愛知県"),
    (_("Kinki"), "三重県", "和歌山県"),
    (_("Chugoku"), "鳥取県", "山口県"),
    (_("Shikoku"), "徳島県", "高知県"),
    (_("Kyushu"), "福岡県", "鹿児島県"),
    (_("Okinawa"), "沖縄県", "沖縄県"),
)
MAIN_REGIONS: tuple[tuple[str | Promise, str, str], ...] = (
    (_("Honshu"), "青森県", "山口県"),
    *(region for region in REGIONS if region[1] in ("北海道", "徳島県", "福岡県", "沖縄県")),
)


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


@dataclass(frozen=True, slots=True)
class Area:
    """Islands that are further away than the rest of their prefecture."""

    name: str
    english: str
    prefixes: tuple[str, ...]  # of postal codes, digits only
    more_days: int


@dataclass(frozen=True)
class DeliveryTable:
    """How many days a carrier's parcels take, by prefecture and postal code; staff maintain it."""

    days_by_number: Mapping[int, int]  # number of the prefecture → days after dispatch
    areas: tuple[Area, ...]

    def area(self, postal_code: str) -> Area | None:
        """Return the islands to which a postal code belongs: those with its longest beginning."""
        digits = postal_code.replace("-", "")
        found = [
            (len(prefix), area)
            for area in self.areas
            for prefix in area.prefixes
            if digits.startswith(prefix)
        ]
        return max(found, key=lambda pair: pair[0])[1] if found else None

    def days(self, prefecture: str, postal_code: str = "") -> int:
        """Return the days after dispatch to an address; prefectures without a row take `DELIVERY_DAYS`."""
        area = self.area(postal_code) if postal_code else None
        known = self.days_by_number.get(PREFECTURE_NUMBERS.get(prefecture, 0), settings.DELIVERY_DAYS)
        return known + (area.more_days if area else 0)

    def _range(self, first: str, last: str) -> range:
        return range(PREFECTURE_NUMBERS[first], PREFECTURE_NUMBERS[last] + 1)

    def _days_of(self, numbers: Iterable[int]) -> list[int]:
        return [self.days_by_number.get(number, settings.DELIVERY_DAYS) for number in numbers]

    @property
    def summary(self) -> list[tuple[str | Promise, int, int]]:
        """Return (name, fewest, most days) of Honshu and the other main islands."""
        found = []
        for name, first, last in MAIN_REGIONS:
            days = self._days_of(self._range(first, last))
            found.append((name, min(days), max(days)))
        return found

    @property
    def honshu_days(self) -> int:
        """Return the most days to a prefecture of Honshu."""
        return max(self._days_of(self._range("青森県", "山口県")))

    @property
    def further_days(self) -> tuple[int, int] | None:
        """Return the fewest and the most further days to islands."""
        more = [area.more_days for area in self.areas]
        return (min(more), max(more)) if more else None

    def rows(self, *, english: bool) -> list[tuple[int, list[str | Promise]]]:
        """Return (days, places): regions that share the days, else single prefectures; fewest days first."""
        names = list(PREFECTURES.values() if english else PREFECTURES)
        places: dict[int, list[str | Promise]] = {}
        for name, first, last in REGIONS:
            numbers = self._range(first, last)
            days = self._days_of(numbers)
            if len(set(days)) == 1:
                places.setdefault(days[0], []).append(name)
                continue
            for number, one in zip(numbers, days, strict=True):
                places.setdefault(one, []).append(names[number - 1])
        return sorted(places.items())


def load_table(carrier: str = "") -> DeliveryTable:
    """Return the table of a carrier, with one query; that of the usual carrier if this one is unknown."""
    none = Value("", CharField())
    times = (
        DeliveryTime.objects.filter(Q(carrier__name=carrier) | Q(carrier__is_usual=True))
        .annotate(english=none, prefixes=none)
        .values_list("carrier__name", "english", "prefixes", "prefecture", "days")
    )
    areas = RemoteArea.objects.values_list("name", "name_en", "postal_prefixes", "prefecture", "more_days")
    usual: dict[int, int] = {}
    own: dict[int, int] = {}
    found: list[Area] = []
    for name, english, prefixes, prefecture, days in times.order_by().union(areas.order_by(), all=True):
        if prefixes:
            found.append(Area(name, english, tuple(prefixes.split()), days))
        else:
            (own if name == carrier else usual)[prefecture] = days
    return DeliveryTable(own or usual, tuple(found))


def delivery_period(now: datetime) -> str:
    """Return the period with the same `expected_delivery`: a JST day, before or after the cut-off."""
    local = now.astimezone(JST)
    return f"{local.date()} {'after' if local.hour >= settings.DISPATCH_CUTOFF_HOUR else 'before'}"


def expected_delivery(now: datetime, days: int) -> Delivery:
    """Return the delivery of an order placed or paid at `now` whose parcel takes `days`."""
    return plan_delivery(
        now, cutoff=settings.DISPATCH_CUTOFF_HOUR, transit_days=days, closed=settings.CLOSED_DAYS
    )


def expected_arrival(order: Order) -> date:
    """Return the day on which the parcel of an unshipped order should arrive, counted from the payment."""
    days = load_table().days(order.prefecture, order.postal_code)
    return expected_delivery(order.paid_at or order.placed_at, days).arrival


def arrival_of_parcel(order: Order, carrier: str, shipped_at: datetime) -> date:
    """Return the day on which a parcel should arrive that the carrier takes at `shipped_at`."""
    days = load_table(carrier).days(order.prefecture, order.postal_code)
    return shipped_at.astimezone(JST).date() + timedelta(days=days)


@unit_of_work
def make_usual(carrier: Carrier) -> None:
    """Let the shop's pages show the days of a carrier."""
    Carrier.objects.filter(is_usual=True).update(is_usual=False)
    Carrier.objects.filter(pk=carrier.pk).update(is_usual=True)
