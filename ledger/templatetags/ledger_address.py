"""Template filters for addresses, as a reader of the language writes them."""

import re
from typing import Any

from django import template

from ledger.models.delivery import PREFECTURES

register = template.Library()

LATIN = re.compile(r"[A-Za-z]")


@register.filter
def address_lines(to: Any, language: str) -> list[str]:
    """Return the lines of an address without the name: of an order, or of a typed address (a dict).

    Japanese: 〒150-0001 / 東京都渋谷区神宮前1-2-3 / building.
    English: building / Jingumae 1-2-3, Shibuya-ku, Tokyo 150-0001.
    """

    def read(name: str) -> str:
        return str(to[name] if isinstance(to, dict) else getattr(to, name))

    building, street, city, prefecture = (read(name) for name in ("building", "street", "city", "prefecture"))
    if language == "en":
        roman = PREFECTURES.get(prefecture, prefecture)
        lines = [building, f"{street}, {city}, {roman} {read('postal_code')}"]
    else:
        lines = [f"〒{read('postal_code')}", join_places(prefecture, city, street), building]
    return [line for line in lines if line]


def join_places(*places: str) -> str:
    """Return parts of an address in a row, with blanks if one of them is written in Latin letters."""
    return (" " if any(LATIN.search(place) for place in places) else "").join(places)
