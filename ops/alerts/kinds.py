"""The kinds of alerts: title, level, the admin's page about it, and what to do.

docs/MONITORING.md has a line for each; a test compares.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext_lazy, pgettext_lazy


class Level(IntEnum):
    """How urgent an alert is."""

    INFO = 0
    WARNING = 1
    CRITICAL = 2


@dataclass(frozen=True)
class Kind:
    """A kind of alert."""

    name: str
    level: Level
    title: Any  # lazy texts, in the shop's first language where staff read them
    what_to_do: Any
    page: str = "admin:index"  # the name of the admin's page about it
    named_by: Any = ""  # the field that says to staff what it is about, where the subject is a key


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "database_down",
            Level.CRITICAL,
            pgettext_lazy("alert", "the database does not work"),
            pgettext_lazy("alert", "look at the database and at the disk's free space"),
        ),
        Kind(
            "storage_down",
            Level.CRITICAL,
            pgettext_lazy("alert", "the storage of evidence does not work"),
            pgettext_lazy("alert", "look at R2 and its keys, or at the disk; the close waits for it"),
        ),
        Kind(
            "worker_dead",
            Level.CRITICAL,
            pgettext_lazy("alert", "the worker is dead"),
            pgettext_lazy("alert", "start it again; what waited is then done"),
            "admin:ops_heartbeat_changelist",
        ),
        Kind(
            "restart_loop",
            Level.CRITICAL,
            pgettext_lazy("alert", "a process starts again and again"),
            pgettext_lazy("alert", "read the last lines of its log"),
            "admin:ops_heartbeat_changelist",
        ),
        Kind(
            "job_overdue",
            Level.WARNING,
            pgettext_lazy("alert", "a job has not succeeded for too long"),
            pgettext_lazy("alert", "read the outcome of its last runs"),
            "admin:ops_jobrun_changelist",
        ),
        Kind(
            "close_failed",
            Level.CRITICAL,
            pgettext_lazy("alert", "the daily close failed"),
            pgettext_lazy("alert", "read the reason; it is tried again every ten minutes"),
            "admin:ops_jobrun_changelist",
        ),
        Kind(
            "day_missing",
            Level.CRITICAL,
            pgettext_lazy("alert", "a day is not closed"),
            pgettext_lazy("alert", "read why the close failed; close it with manage.py daily_close"),
            "admin:ledger_dailyclose_changelist",
        ),
        Kind(
            "events_failing",
            Level.WARNING,
            pgettext_lazy("alert", "events of Stripe fail"),
            pgettext_lazy("alert", "read the reason at each; set aside what concerns no order"),
            "admin:ledger_stripeevent_changelist",
        ),
        Kind(
            "mail_waiting",
            Level.WARNING,
            pgettext_lazy("alert", "mails wait or were given up"),
            pgettext_lazy("alert", "look at the mail server; given up mails are sent again by hand"),
            "admin:ledger_outgoingmail_changelist",
        ),
        Kind(
            "refunds_waiting",
            Level.WARNING,
            pgettext_lazy("alert", "refunds do not reach Stripe"),
            pgettext_lazy("alert", "look at Stripe's status; they are sent when it answers"),
            "admin:ledger_refund_changelist",
        ),
        Kind(
            "large_refund",
            Level.WARNING,
            pgettext_lazy("alert", "a large refund"),
            pgettext_lazy("alert", "look at the order and at who refunded it"),
            "admin:ledger_refund_changelist",
        ),
        Kind(
            "todo",
            Level.WARNING,
            pgettext_lazy("alert", "something needs a person"),
            pgettext_lazy("alert", "open the list of to-dos"),
            "admin:ops_todo_changelist",
            named_by=gettext_lazy("what"),
        ),
        Kind(
            "backup_failed",
            Level.CRITICAL,
            pgettext_lazy("alert", "the backup failed"),
            pgettext_lazy("alert", "read the reason and run manage.py backup"),
            "admin:ops_jobrun_changelist",
        ),
        Kind(
            "backup_overdue",
            Level.CRITICAL,
            pgettext_lazy("alert", "there is no recent backup"),
            pgettext_lazy("alert", "run manage.py backup and look why the weekly one is missing"),
            "admin:ops_jobrun_changelist",
        ),
        Kind(
            "test",
            Level.INFO,
            pgettext_lazy("alert", "a test"),
            pgettext_lazy("alert", "nothing; manage.py test_alert sent it"),
        ),
    )
}


def kind_of(name: str) -> Kind:
    """Return a kind; for a name that no release knows, or no longer knows, one that sends to the log."""
    return KINDS.get(name) or Kind(name, Level.WARNING, name, pgettext_lazy("alert", "read its log line"))


def headline(name: str, subject: str, fields: Mapping[str, str]) -> str:
    """Return what an alert of a kind is called in the active language, and what it is about."""
    kind = kind_of(name)
    with translation.override(settings.LANGUAGE_CODE):  # in which the fields were named
        about = fields.get(str(kind.named_by)) or subject
    return f"{kind.title} {about}".strip()
