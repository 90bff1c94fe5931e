"""Alerts as rows: one for equal kind and subject until it is over."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import translation

from kikaku.alerts import Alert as Mark
from kikaku.transactions import unit_of_work
from ops.alerts.kinds import KINDS, Level
from ops.logs.redaction import redact
from ops.models import Alert

REPEAT_AFTER = timedelta(hours=24)  # an alert that is not over is told again, if it still occurs
KEPT = timedelta(days=90)  # after their end
MAX_TEXT = 2_000


@dataclass
class Occurrence:
    """What log records said of one alert; `sent` if Slack was told without a row."""

    mark: Mark
    text: str
    first_at: datetime
    last_at: datetime
    count: int  # 0: only that it is over
    over_at: datetime | None = None
    sent: bool = False


@dataclass
class Occurrences:
    """Occurrences that are to be stored, by kind and subject in their order."""

    found: dict[tuple[str, str], Occurrence] = field(default_factory=dict)

    def add(self, mark: Mark, text: str, *, now: datetime) -> None:
        """Add one log record."""
        known = self.found.get((mark.kind, mark.subject))
        if known is None:
            known = self.found[mark.kind, mark.subject] = Occurrence(mark, text, now, now, count=0)
        known.last_at = now
        known.over_at = now if mark.over else None
        if not mark.over:
            known.mark, known.text = mark, text
            known.count += 1


def is_delivered() -> bool:
    """Return whether alerts are sent to Slack: in development only if asked for."""
    return bool(settings.SLACK_WEBHOOK_URL) and (settings.PRODUCTION or settings.ALERTS_IN_DEVELOPMENT)


def unsaved(each: Occurrence) -> Alert:
    """Return the new row of an alert, not yet stored."""
    kind = KINDS[each.mark.kind]
    with translation.override(settings.LANGUAGE_CODE):
        title = str(kind.title)
    state = Alert.State.SENT if each.sent else Alert.State.WAITING if is_delivered() else Alert.State.OFF
    row = Alert(
        kind=kind.name,
        subject=redact(each.mark.subject)[:160],
        level=int(kind.level),
        title=title,
        text=redact(each.text)[:MAX_TEXT],
        fields={name: redact(value)[:500] for name, value in each.mark.fields.items()},
        count=each.count,
        first_at=each.first_at,
        last_at=each.last_at,
        state=state,
        told=each.sent,
        sent_at=each.last_at if each.sent else None,
        next_try_at=each.last_at,
    )
    if each.over_at is not None:
        _end(row, now=each.over_at)
    return row


def _end(row: Alert, *, now: datetime) -> None:
    """End an alert; Slack is told of the end of a critical one that it was told of."""
    row.over_at = now
    if row.told and row.level == Level.CRITICAL and is_delivered():
        row.state, row.says_over, row.tries, row.next_try_at = Alert.State.WAITING, True, 0, now


@unit_of_work
def store(occurrences: Iterable[Occurrence], *, now: datetime) -> None:
    """Store what was logged; two queries, and one for each alert that is known.

    The caller's thread has its own connection: whatever its request does, this stays.
    """
    wanted = {(each.mark.kind, redact(each.mark.subject)[:160]): each for each in occurrences}
    kinds = {kind for kind, _subject in wanted}
    rows = {
        (row.kind, row.subject): row
        for row in Alert.objects.select_for_update().ongoing().filter(kind__in=kinds)
        if (row.kind, row.subject) in wanted
    }
    new = []
    for key, each in wanted.items():
        row = rows.get(key)
        if row is not None and each.count and now - row.first_at >= REPEAT_AFTER:
            row.over_at, row = now, None  # it is told again; the old one ends silently
            rows[key].save(update_fields=["over_at"])
        if row is None:
            if each.count:
                new.append(unsaved(each))
            continue
        row.count += each.count
        row.last_at = each.last_at
        if each.over_at is not None:
            _end(row, now=each.over_at)
        row.save(update_fields=["count", "last_at", "over_at", "state", "says_over", "tries", "next_try_at"])
    # another process may have stored the same alert meanwhile
    Alert.objects.bulk_create(new, ignore_conflicts=True)


@unit_of_work
def prune(*, now: datetime) -> int:
    """Delete alerts that are over for 90 days; return how many."""
    return Alert.objects.filter(over_at__lt=now - KEPT).delete()[0]
