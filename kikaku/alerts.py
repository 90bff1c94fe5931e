"""Mark a log record as an alert: `logger.error("…", extra=alert("close_failed", subject=str(day)))`.

Any part may mark its records. `ops.alerts` delivers them to Slack and keeps them as rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Alert:
    """What an alert is about; equal `kind` and `subject` are one alert until it is over."""

    kind: str  # a name of `ops.alerts.kinds`, which has its title, level and what to do
    subject: str = ""  # what it concerns, such as a day, a SKU or a job; no personal data
    fields: dict[str, str] = field(default_factory=dict)  # name → value, as staff read them
    over: bool = False  # it has ended


def alert(kind: str, *, subject: str = "", fields: Mapping[str, object] | None = None) -> dict[str, Alert]:
    """Return the `extra` of a log record that is to be delivered as an alert.

    `fields` is a mapping, since its names are translated texts, and one may be "kind" or "subject".
    """
    return {"alert": Alert(kind, subject, {name: str(value) for name, value in (fields or {}).items()})}


def alert_over(kind: str, *, subject: str = "") -> dict[str, Alert]:
    """Return the `extra` of a log record that says that an alert has ended."""
    return {"alert": Alert(kind, subject, over=True)}
