"""Keep the to-dos: make one for each new fact, close those whose fact is gone, and alert once.

The rules read outside a transaction. What they found is then compared with the rows in a short one: what
staff do at the same moment waits for it, or it for them (`LOCK`).
"""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext

from kikaku.alerts import alert, alert_over
from kikaku.transactions import lock_names, require_transaction, unit_of_work
from ops.models import Todo
from ops.todos import words
from ops.todos.rules import MAX_FACTS, RULES, Finding

logger = logging.getLogger(__name__)

SYSTEM = "system"  # `ended_by` of what was settled by itself
MAX_WRITTEN = 50  # rows made, and rows changed, in one transaction: one statement each
CHANGING = ("level", "weight", "fingerprint", "figures")  # fields of an open row that follow its fact

Facts = Mapping[tuple[str, str], Finding]


@dataclass(frozen=True)
class Kept:
    """What a run has changed."""

    made: int
    over: tuple[tuple[str, str], ...] = ()  # kind and subject of those whose fact is gone

    @property
    def gone(self) -> int:
        """The number of to-dos whose fact is gone."""
        return len(self.over)


class RulesFailed(Exception):
    """Some rules could not be asked; the others were, and their to-dos are up to date."""


def lock_todos() -> None:
    """Let the caller's transaction be the only one that writes to-dos, until it ends."""
    require_transaction()
    lock_names("todos")


def refresh(*, now: datetime) -> Kept:
    """Ask all rules, and bring the to-dos in line with what they found. Raises `RulesFailed` at the end.

    A to-do whose rule failed, or found more than it may return, is not closed.
    """
    facts: dict[tuple[str, str], Finding] = {}
    complete: set[str] = set()
    failed: list[str] = []
    for rule in RULES:
        try:
            found = list(rule.find(now))
        except Exception:  # of one rule; the others must not miss their facts for it
            logger.exception("the rule %s failed", rule.find.__name__)
            failed.append(rule.find.__name__)
            continue
        facts |= {(finding.kind, finding.subject): finding for finding in found}
        if len(found) < MAX_FACTS:
            complete.update(rule.kinds)
    made, over = 0, list[tuple[str, str]]()
    while True:  # all at once, so that many facts are one message
        kept = _store(facts, complete, now=now)
        made += kept.made
        over += kept.over
        if kept.made < MAX_WRITTEN:
            break
    for kind, subject in over:
        end_alert(kind, subject)
    _alert(now=now)
    if failed:
        raise RulesFailed(", ".join(failed))
    return Kept(made, tuple(over))


def is_settled(row: Todo, fact: Finding) -> bool:
    """Return whether staff have ended a row about this very fact, which has not become worse since."""
    return row.fingerprint == fact.fingerprint and (fact.level, fact.weight) <= (row.level, row.weight)


@unit_of_work
def _store(facts: Facts, complete: Collection[str], *, now: datetime) -> Kept:
    lock_todos()
    rows = {(row.kind, row.subject): row for row in Todo.objects.filter(ongoing=True).order_by("pk")}
    over = [row for key, row in rows.items() if row.kind in complete and key not in facts]
    new: list[Todo] = []
    changed: list[Todo] = []
    replaced: list[int] = []
    for key, fact in facts.items():
        row = rows.get(key)
        if row is not None and row.state == Todo.State.OPEN:
            if _follow(row, fact) and len(changed) < MAX_WRITTEN:
                changed.append(row)
        elif (row is None or not is_settled(row, fact)) and len(new) < MAX_WRITTEN:
            new.append(_row_of(fact, now=now))
            if row is not None:
                replaced.append(row.pk)
    gone = [row for row in over if row.state == Todo.State.OPEN]
    if over or replaced:
        Todo.objects.filter(pk__in=[row.pk for row in gone]).update(
            state=Todo.State.GONE, ongoing=False, ended_at=now, ended_by=SYSTEM
        )
        Todo.objects.filter(pk__in=[*(row.pk for row in over), *replaced]).update(ongoing=False)
    if changed:
        Todo.objects.bulk_update(changed, CHANGING)
    Todo.objects.bulk_create(new)
    return Kept(len(new), tuple((row.kind, row.subject) for row in gone))


def end_alert(kind: str, subject: str) -> None:
    """Log that a to-do is over, after the commit: the same fact makes a new alert if it comes back."""
    logger.info("to-do over: %s %s", kind, subject, extra=alert_over("todo", subject=f"{kind}:{subject}"))


def _row_of(fact: Finding, *, now: datetime) -> Todo:
    return Todo(
        kind=fact.kind,
        subject=fact.subject,
        level=fact.level,
        weight=fact.weight,
        fingerprint=fact.fingerprint,
        figures=fact.figures,
        since=fact.since,
        made_at=now,
    )


def _follow(row: Todo, fact: Finding) -> bool:
    """Take what may have changed of an open row's fact; return whether something has."""
    changes = {name: getattr(fact, name) for name in CHANGING if getattr(row, name) != getattr(fact, name)}
    for name, value in changes.items():
        setattr(row, name, value)
    return bool(changes)


def _alert(*, now: datetime) -> None:
    """Log each open to-do once as an alert; after a crash between log and mark, once more."""
    waiting = list(Todo.objects.open().filter(alerted_at__isnull=True).order_by("pk"))
    for row in waiting:
        logger.warning(
            "to-do: %s %s",
            row.kind,
            row.subject,
            extra=alert(
                "todo",
                subject=f"{row.kind}:{row.subject}",
                fields={
                    gettext("kind"): row.get_kind_display(),
                    gettext("level"): row.get_level_display(),
                    gettext("what"): words.sentence(row),
                    gettext("what to do"): words.advice(row),
                },
            ),
        )
    keys = [row.pk for row in waiting]
    for start in range(0, len(keys), MAX_WRITTEN):
        Todo.objects.filter(pk__in=keys[start : start + MAX_WRITTEN]).update(alerted_at=now)
