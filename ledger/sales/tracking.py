"""Tracking numbers: how they are written, their check digit, and the carrier's page of a parcel."""

import re
import unicodedata
from collections.abc import Sequence

from kikaku.text import HYPHENS_IN_NUMBERS
from ledger.models import Carrier

CHECKED = re.compile(r"[0-9]{12}")  # ヤマト, 佐川 and 日本郵便: the last digit is the first eleven modulo 7


def normalise_tracking_number(text: str) -> str:
    """Return a typed number in ASCII capitals, digits and hyphens; twelve digits become 1234-5678-9012."""
    plain = HYPHENS_IN_NUMBERS.sub("-", unicodedata.normalize("NFKC", text)).upper()
    plain = re.sub(r"-+", "-", re.sub(r"\s+", "-", plain.strip())).strip("-")
    digits = plain.replace("-", "")
    return "-".join((digits[:4], digits[4:8], digits[8:])) if CHECKED.fullmatch(digits) else plain


def is_doubtful(number: str) -> bool:
    """Return whether a normalised number looks like a slip: a strange sign or length, or a wrong check digit.

    Some contracts have numbers without check digits, so it is asked about, not refused.
    """
    signs = number.replace("-", "")
    if CHECKED.fullmatch(signs):
        return int(signs[:11]) % 7 != int(signs[11])
    return not re.fullmatch(r"[0-9]{10,14}|[A-Z]{2}[0-9]{9}[A-Z]{2}", signs)


def tracking_url(carrier: str, number: str) -> str:
    """Return the carrier's page of a parcel, with one query; empty if the page is not known."""
    return next(iter(tracking_urls([(carrier, number)])))


def tracking_urls(parcels: Sequence[tuple[str, str]]) -> list[str]:
    """Return the page of each parcel, given by carrier and number, with one query; empty if not known."""
    if not parcels:
        return []
    pages = dict(Carrier.objects.values_list("name", "tracking_url"))
    return [tracking_page(pages.get(carrier), number) for carrier, number in parcels]


def tracking_page(address: str | None, number: str) -> str:
    """Return a carrier's address with the number of a parcel; empty if one of them is not known."""
    signs = re.sub(r"[^0-9A-Z]", "", number)  # nothing else gets into the address
    return (address or "").replace("{number}", signs) if signs else ""
