"""Alerts as rows: one for equal kind and subject until it is over."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import translation

from kikaku.alerts import Alert as Mark
from kikaku.transactions import unit_of_work
from ops.alerts.kinds import Level, kind_of
from ops.logs.redaction import redact
from ops.models import Alert

KEPT = timedelta(days=90)  # after their end
MAX_TEXT, MAX_SUBJECT, MAX_FIELD = 2_000, 160, 500  # characters


@dataclass
class Occurrence:
    """What log records said of one alert; `sent` if Slack got it without a row."""

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

    def merge(self, later: "Occurrences") -> None:
        """Add what came later."""
        for key, each in later.found.items():
            known = self.found.get(key)
            if known is None:
                self.found[key] = each
                continue
            known.last_at, known.over_at = each.last_at, each.over_at
            known.count += each.count
            known.sent = known.sent or each.sent
            if each.count:
                known.mark, known.text = each.mark, each.text

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


def stored_text(value: str, length: int) -> str:
    """Return a text without secrets, of at most so many characters, that every engine can store."""
    storable = value.replace("\0", "").encode(errors="replace").decode()
    return redact(storable)[:length]


def unsaved(each: Occurrence) -> Alert:
    """Return the new row of an alert, not yet stored."""
    kind = kind_of(each.mark.kind)
    with translation.override(settings.LANGUAGE_CODE):
        title = str(kind.title)
    state = Alert.State.SENT if each.sent else Alert.State.WAITING if is_delivered() else Alert.State.OFF
    row = Alert(
        kind=kind.name,
        subject=stored_text(each.mark.subject, MAX_SUBJECT),
        level=int(kind.level),
        title=title,
        text=stored_text(each.text, MAX_TEXT),
        fields={
            stored_text(name, MAX_FIELD): stored_text(value, MAX_FIELD)
            for name, value in each.mark.fields.items()
        },
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
    """End an alert; Slack gets the end of a critical one whose beginning it got."""
    row.over_at = now
    if row.told and row.level == Level.CRITICAL and is_delivered():
        row.state, row.says_over, row.tries, row.next_try_at = Alert.State.WAITING, True, 0, now


@unit_of_work
def store(occurrences: Iterable[Occurrence], *, now: datetime) -> None:
    """Store what was logged; two queries, and one for each alert that is known.

    The caller's thread has its own connection: whatever its request does, this stays.
    """
    repeat_after = timedelta(hours=settings.ALERTS_REPEAT_HOURS)
    wanted = {(each.mark.kind, stored_text(each.mark.subject, MAX_SUBJECT)): each for each in occurrences}
    kinds = {kind for kind, _subject in wanted}
    rows = {
        (row.kind, row.subject): row
        for row in Alert.objects.select_for_update().ongoing().filter(kind__in=kinds)
        if (row.kind, row.subject) in wanted
    }
    new = []
    for key, each in wanted.items():
        row = rows.get(key)
        if row is not None and each.count and now - row.first_at >= repeat_after:
            row.over_at, row = now, None  # it is sent again; the old one ends silently
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
