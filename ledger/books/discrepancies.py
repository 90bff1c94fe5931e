"""Discrepancies: recorded once per kind, object and day, and resolved once by a person with a reason."""

from collections import Counter
from collections.abc import Collection
from datetime import date, datetime

from django.utils.functional import Promise
from django.utils.translation import override

from kikaku.money import in_currency
from kikaku.transactions import unit_of_work
from ledger.books import journal
from ledger.models import Discrepancy

# one row for each object, whatever the day: several reports tell of the same payment
KINDS_OF_OBJECTS = (Discrepancy.Kind.MISSING_IN_BOOKS, Discrepancy.Kind.FOREIGN_CURRENCY)

AUTOMATIC = "system"  # `resolved_by` of what needed no person in the end


class ResolutionMissing(Exception):
    """A discrepancy cannot be resolved without a text; nothing was changed."""


@unit_of_work
def note_discrepancy(
    kind: str, object_id: str, *, day: date, now: datetime, amount: int = 0, detail: str = ""
) -> Discrepancy:
    """Record a discrepancy and return it; one with the same kind, object and day is returned unchanged.

    `amount` is the difference in JPY, `day` the business day in whose close it counts.
    """
    found, _created = Discrepancy.objects.get_or_create(
        kind=kind,
        object_id=object_id[:120],
        day=day,
        defaults={"amount": amount, "detail": detail[:500], "created_at": now},
    )
    return found


def note_object(
    kind: str, object_id: str, *, day: date, now: datetime, amount: int = 0, detail: str = ""
) -> Discrepancy:
    """Record once that an object at Stripe has no row of ours, whatever reports it, and on whichever day.

    The row belongs to the earliest day that was reported, as long as its own day is open.
    """
    known = Discrepancy.objects.filter(kind__in=KINDS_OF_OBJECTS, object_id=object_id[:120]).first()
    if known is None:
        return note_discrepancy(kind, object_id, day=day, now=now, amount=amount, detail=detail)
    last_closed = journal.last_closed_day() or date.min
    if last_closed < day < known.day:
        Discrepancy.objects.filter(pk=known.pk).update(day=day)
        known.day = day
    return known


def note_unknown_money(
    object_id: str, *, amount: int, currency: str, day: date, detail: str, now: datetime
) -> Discrepancy:
    """Record once a payment or refund (a negative amount) at Stripe that no row of ours knows.

    `amount` is in Stripe's smallest unit of the currency. Money that is no yen has no amount in yen: the text
    has it with its currency.
    """
    is_yen = currency == "jpy"
    return note_object(
        Discrepancy.Kind.MISSING_IN_BOOKS if is_yen else Discrepancy.Kind.FOREIGN_CURRENCY,
        object_id,
        day=day,
        now=now,
        amount=amount if is_yen else 0,
        detail=f"{detail}：{in_currency(amount, currency)}",
    )


def count_open(day: date) -> Counter[Discrepancy.Category]:
    """Return how many discrepancies of a day are open, by category: not resolved, or notices."""
    kinds = Discrepancy.objects.filter(day=day, resolved_at__isnull=True).values_list("kind", flat=True)
    return Counter(Discrepancy.Kind(kind).category for kind in kinds)


def resolve(discrepancy: Discrepancy, *, resolution: str, actor: str, now: datetime) -> bool:
    """Record how and by whom a discrepancy was resolved. Returns False when it was resolved before.

    Raises `ResolutionMissing` without a text.
    """
    text = resolution.strip()
    if not text:
        raise ResolutionMissing
    return bool(
        Discrepancy.objects.unresolved()
        .filter(pk=discrepancy.pk)
        .update(resolved_at=now, resolved_by=actor[:150], resolution=text[:500])
    )


def resolve_automatically(
    kind: Discrepancy.Kind, object_ids: Collection[str], *, resolution: str | Promise, now: datetime
) -> int:
    """Resolve the open discrepancies of these objects, which asked for what has been done since."""
    with override("ja"):
        text = str(resolution)
    return (
        Discrepancy.objects.unresolved()
        .filter(kind=kind, object_id__in=object_ids)
        .update(resolved_at=now, resolved_by=AUTOMATIC, resolution=text[:500])
    )
