"""Where a visitor's parcels go, as far as it is known: the estimates on public pages are then for there.

A public page has the same bytes for everybody and names Honshu. When an address was typed, a cookie keeps its
prefecture, and islands by the beginning of their postal code; the script asks for the text for that place.
"""

import re
from dataclasses import dataclass

from django.conf import settings
from django.http import HttpResponse
from django.utils.translation import gettext as _

from ledger.models.delivery import PREFECTURE_NUMBERS, PREFECTURES
from ledger.sales.delivery import DeliveryTable
from shop.models import in_language

DESTINATION_COOKIE = "destination"  # the script reads it; nothing trusts it
COOKIE_MAX_AGE = 180 * 24 * 3600  # seconds
WRITTEN = re.compile(r"([0-9]{1,2})(?:-([0-9]{3,7}))?")


@dataclass(frozen=True, slots=True)
class Destination:
    """A prefecture, or islands of it."""

    prefecture: str
    prefix: str = ""  # of the islands' postal codes

    def __str__(self) -> str:
        """Return it as the cookie has it: 47 or 47-907."""
        number = str(PREFECTURE_NUMBERS[self.prefecture])
        return f"{number}-{self.prefix}" if self.prefix else number

    def place(self, table: DeliveryTable) -> str:
        """Return the name of the place in the active language."""
        area = table.area(self.prefix) if self.prefix else None
        if area is not None:
            return in_language(area.name, area.english)
        return in_language(self.prefecture, PREFECTURES[self.prefecture])


def parse_destination(text: str) -> Destination | None:
    """Return the destination that a cookie names; None if it names none."""
    found = WRITTEN.fullmatch(text)
    names = list(PREFECTURES)
    if found is None or not 1 <= int(found[1]) <= len(names):
        return None
    return Destination(names[int(found[1]) - 1], found[2] or "")


def destination_of(prefecture: str, postal_code: str, table: DeliveryTable) -> Destination:
    """Return the destination of an address, no more exact than the delivery days are."""
    digits = postal_code.replace("-", "")
    area = table.area(postal_code)
    fitting = [prefix for prefix in area.prefixes if digits.startswith(prefix)] if area else []
    return Destination(prefecture, max(fitting, key=len, default=""))


def remember_destination(response: HttpResponse, destination: Destination) -> None:
    """Set the cookie from which the script learns the destination."""
    response.set_cookie(
        DESTINATION_COOKIE,
        str(destination),
        max_age=COOKIE_MAX_AGE,
        secure=settings.PRODUCTION,
        samesite="Lax",
    )


def honshu() -> str:
    """Return the name of the place for which pages give the delivery as long as no other is known."""
    return _("Honshu")
