"""Slack's incoming webhook: the message of some alerts, and what its answer means.

Rules: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks, rate limits
https://docs.slack.dev/apis/web-api/rate-limits: one message a second, 429 with Retry-After.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus

import urllib3
from django.conf import settings
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import pgettext
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from ops.alerts.kinds import Level, headline, kind_of
from ops.logs.redaction import redact
from ops.models import Alert

MAX_TEXT = 2_900  # Slack refuses a text block of more than 3,000 characters
MAX_LISTED = 8  # alerts in one message; of more, the number is given
MAX_FIELD = 300
TIMEOUT = 10.0  # seconds
MAX_WAIT = 3_600.0  # seconds that we wait because Slack says so
MARKS = {Level.INFO: "ℹ️", Level.WARNING: "⚠️", Level.CRITICAL: "🚨"}


class Outcome(Enum):
    """What became of a message."""

    SENT = "sent"
    LATER = "later"  # certainly not delivered: try again
    UNKNOWN = "unknown"  # perhaps delivered: not sent again blindly
    REFUSED = "refused"  # would be refused again


@dataclass(frozen=True)
class Answer:
    """Slack's answer."""

    outcome: Outcome
    reason: str = ""
    wait: float | None = None  # seconds, as Slack's Retry-After says


def escape(text: str) -> str:
    """Return a text in which nothing is a link or a mention: Slack's three characters as entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def message(alerts: Sequence[Alert], *, again: bool = False) -> dict[str, object]:
    """Return the message of alerts, the most urgent first; `again` says that it may be a repeat."""
    ordered = sorted(alerts, key=lambda each: (-each.level, each.first_at))
    with translation.override(settings.LANGUAGE_CODE):
        listed = [_one(each) for each in ordered[:MAX_LISTED]]
        if len(ordered) > MAX_LISTED:
            rest = pgettext("alert", "and %(count)d more: %(address)s")
            listed.append(
                rest % {"count": len(ordered) - MAX_LISTED, "address": _address("admin:ops_alert_changelist")}
            )
        if len(ordered) > 1:
            listed.insert(0, pgettext("alert", "%(count)d alerts") % {"count": len(ordered)})
        if again:
            listed.append(pgettext("alert", "(sent again, as Slack gave no clear answer)"))
    text = "\n\n".join(listed)
    return {"text": text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"}


def _one(each: Alert) -> str:
    kind = kind_of(each.kind)
    if each.says_over:
        return f"✅ {pgettext('alert', 'over')}: {escape(_title(each))}"
    lines = [f"{MARKS[Level(each.level)]} *{each.get_level_display()}: {escape(_title(each))}*"]
    if each.count > 1:
        lines.append(pgettext("alert", "%(count)d times") % {"count": each.count})
    lines += [f"{escape(name)}: {escape(_clean(value))}" for name, value in each.fields.items()]
    if not each.fields and each.text:
        lines.append(escape(_clean(each.text)))
    since = timezone.localtime(each.first_at)
    lines.append(pgettext("alert", "since %(time)s") % {"time": f"{since:%m/%d %H:%M}"})
    if each.over_at is not None:
        lines.append(pgettext("alert", "it is over"))
    lines.append(f"→ {kind.what_to_do}: {_address(kind.page)}")
    return "\n".join(lines)


def _title(each: Alert) -> str:
    return _clean(headline(each.kind, each.subject, each.fields))


def _clean(value: str) -> str:
    text = " ".join(redact(value).split())  # one line: no value can look like a line of ours
    return text if len(text) <= MAX_FIELD else text[: MAX_FIELD - 1] + "…"


def _address(page: str) -> str:
    return settings.STOREFRONT_BASE_URL + reverse(page)


def post(content: dict[str, object]) -> Answer:
    """Send a message to `settings.SLACK_WEBHOOK_URL`; return what became of it, never raise."""
    try:
        response = urllib3.request(
            "POST",
            settings.SLACK_WEBHOOK_URL,
            json=content,
            timeout=TIMEOUT,
            retries=False,
            redirect=False,
        )
    except (NewConnectionError, ConnectTimeoutError) as error:
        return Answer(Outcome.LATER, type(error).__name__)
    except (HTTPError, OSError) as error:
        return Answer(Outcome.UNKNOWN, type(error).__name__)
    if response.status == HTTPStatus.OK:
        return Answer(Outcome.SENT)
    reason = f"{response.status} {redact(response.data[:200].decode(errors='replace'))}".strip()
    if response.status == HTTPStatus.TOO_MANY_REQUESTS:
        return Answer(Outcome.LATER, reason, _seconds(response.headers.get("Retry-After")))
    return Answer(Outcome.UNKNOWN if response.status >= 500 else Outcome.REFUSED, reason)


def _seconds(header: str | None) -> float:
    """Return the seconds of a Retry-After; 30 if it has none that can be read."""
    try:
        return min(max(float(header or 30), 1.0), MAX_WAIT)
    except ValueError:
        return 30.0
