"""What does not add up: written down once per kind, object and day, resolved once by a person with a reason."""

from datetime import date, datetime

from kikaku.transactions import unit_of_work
from ledger.models import Discrepancy


class ResolutionMissing(Exception):
    """A discrepancy is resolved by saying how; nothing was changed."""


@unit_of_work
def note(
    kind: str, object_id: str, *, day: date, now: datetime, amount: int = 0, detail: str = ""
) -> Discrepancy:
    """Write a discrepancy, or return the one that is there: a second look finds nothing new.

    `amount` is the difference in JPY, `day` the business day in whose close it counts.
    """
    found, _created = Discrepancy.objects.get_or_create(
        kind=kind,
        object_id=object_id[:120],
        day=day,
        defaults={"amount": amount, "detail": detail[:500], "created_at": now},
    )
    return found


def resolve(discrepancy: Discrepancy, *, resolution: str, actor: str, now: datetime) -> bool:
    """Write down how a discrepancy was resolved and by whom. Returns False when somebody has done so before.

    Raises `ResolutionMissing` without a text.
    """
    text = resolution.strip()
    if not text:
        raise ResolutionMissing
    return bool(
        Discrepancy.objects.filter(pk=discrepancy.pk, resolved_at__isnull=True).update(
            resolved_at=now, resolved_by=actor[:150], resolution=text[:500]
        )
    )
