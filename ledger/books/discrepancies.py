"""Discrepancies: recorded once per kind, object and day, and resolved once by a person with a reason."""

from collections import Counter
from collections.abc import Collection
from datetime import date, datetime

from django.utils.functional import Promise
from django.utils.translation import override

from kikaku.transactions import unit_of_work
from ledger.models import Discrepancy

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
