"""Deliver alerts to Slack: claimed, grouped, within limits, retried by Slack's rules.

- What is due goes into one message, of at most `MAX_CLAIMED` alerts.
- A claim is one UPDATE, so that of several processes one sends an alert.
- 429 and a connection that was refused: certainly not delivered, tried again (Slack says when, else after 1,
  2, 4 … minutes).
- 500 and a time-out: perhaps delivered. Sent once more after ten minutes, marked as a possible repeat; then
  no more. The same holds for a process that died while it was sending.
- Any other refusal is final; the admin shows the reason.
"""

import logging
import threading
import time
import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from kikaku.transactions import unit_of_work
from ops.alerts import slack, store
from ops.alerts.slack import Answer, Outcome
from ops.models import Alert

logger = logging.getLogger(__name__)

MAX_CLAIMED = 500
SENDING_LEASE = timedelta(minutes=2)  # longer than a call to Slack
UNKNOWN_RETRY = timedelta(minutes=10)
LONGEST_RETRY = timedelta(hours=1)
MESSAGE_SECONDS = 1.0  # Slack takes one message a second
MAX_UNKNOWN_TRIES = 2

_lock = threading.Lock()
_last_message = 0.0  # monotonic seconds


def deliver_due(*, now: datetime) -> int:
    """Send the alerts that are due, in at most two messages; return how many were sent.

    It calls the network outside any transaction; errors of Slack are kept in the rows.
    """
    if not store.is_delivered():
        return 0
    _release_dead(now=now)
    sent = 0
    for state in (Alert.State.WAITING, Alert.State.UNKNOWN):
        if _messages_of_last_hour(now=now) >= settings.ALERTS_PER_HOUR:
            return sent  # the next hour's message has them all
        claimed = _claim(state, now=now)
        if not claimed:
            continue
        again = state == Alert.State.UNKNOWN
        wait_for_turn()
        answer = slack.post(slack.message(claimed, again=again))
        _record(claimed, answer, now=timezone.now())
        if answer.outcome == Outcome.SENT:
            sent += len(claimed)
        else:
            logger.warning("Slack did not take %d alerts: %s", len(claimed), answer.reason)
            break
    return sent


def wait_for_turn() -> None:
    """Wait until a second has passed since this process's last message."""
    global _last_message
    with _lock:
        pause = _last_message + MESSAGE_SECONDS - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        _last_message = time.monotonic()


def _messages_of_last_hour(*, now: datetime) -> int:
    return (
        Alert.objects.filter(sent_at__gte=now - timedelta(hours=1))
        .exclude(claim="")
        .values("claim")
        .distinct()
        .count()
    )


@unit_of_work
def _claim(state: Alert.State, *, now: datetime) -> list[Alert]:
    """Claim what is due of a state; two queries, three if there is any."""
    due = Alert.objects.filter(state=state, next_try_at__lte=now).order_by("-level", "first_at")
    keys = list(due.values_list("pk", flat=True)[:MAX_CLAIMED])
    if not keys:
        return []
    claim = uuid.uuid4().hex
    Alert.objects.filter(pk__in=keys, state=state).update(
        state=Alert.State.SENDING, claim=claim, next_try_at=now + SENDING_LEASE
    )
    return list(Alert.objects.filter(claim=claim, state=Alert.State.SENDING))


@unit_of_work
def _release_dead(*, now: datetime) -> None:
    """Take what a process was sending that has died for perhaps delivered."""
    Alert.objects.filter(state=Alert.State.SENDING, next_try_at__lt=now).update(
        state=Alert.State.UNKNOWN, next_try_at=now + UNKNOWN_RETRY, told=True
    )


@unit_of_work
def _record(claimed: list[Alert], answer: Answer, *, now: datetime) -> None:
    """Write what became of a message."""
    rows = Alert.objects.filter(claim=claimed[0].claim, state=Alert.State.SENDING)
    tries = max(each.tries for each in claimed) + 1
    values: dict[str, object] = {"tries": tries, "error": answer.reason[:300]}
    if answer.outcome == Outcome.SENT:
        values |= {"state": Alert.State.SENT, "told": True, "sent_at": now}
    elif answer.outcome == Outcome.LATER:
        wait = (
            timedelta(seconds=answer.wait)
            if answer.wait is not None
            else min(timedelta(minutes=2 ** min(tries - 1, 6)), LONGEST_RETRY)
        )
        values |= {"state": Alert.State.WAITING, "next_try_at": now + wait, "claim": ""}
        if answer.wait is not None:  # it is the webhook's limit: the others wait, too
            Alert.objects.filter(state=Alert.State.WAITING, next_try_at__lt=now + wait).update(
                next_try_at=now + wait
            )
    elif answer.outcome == Outcome.UNKNOWN and tries < MAX_UNKNOWN_TRIES:
        values |= {"state": Alert.State.UNKNOWN, "next_try_at": now + UNKNOWN_RETRY, "told": True}
    else:
        values |= {"state": Alert.State.FAILED}
    rows.update(**values)
