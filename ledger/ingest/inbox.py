"""Receive Stripe's events, and process them: process = claim + handle.

1. `receive` checks the signature on the raw bytes, with each of the configured secrets; `livemode` must be
   true in production and false elsewhere, and an `account`, if the event names one, that of the books.
2. It stores the event. Its id is the primary key, so a second delivery adds no second event.
3. `claim` takes a lease of five minutes by a conditional update; another process that meets a live lease
   stops.
4. `handle` handles the event in one transaction without any network call, and marks it done.
5. If handling fails, the transaction is rolled back, the error is stored with the event, and the lease ends.
   Our job retries a failed event with growing pauses, from a minute to six hours. After a transient error (a
   locked database, a payment that is not known yet) the webhook also answers 500, so Stripe retries too;
   after any other error it answers 200, because a retry by Stripe would not help before our code is fixed.
   Such an error is logged as an error once. A person may set the event aside, with a reason.
"""

import json
import logging
import re
from datetime import datetime, timedelta
from typing import Any

import stripe
from django.conf import settings
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.db.models import F, QuerySet

from kikaku.transactions import unit_of_work
from ledger.ingest import events
from ledger.models import SetAside, StripeEvent
from ledger.stripe import strict_json, timestamps
from ledger.stripe.account import known_account

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 1_000_000  # Stripe's events have a few thousand
SIGNATURE_TOLERANCE = 300  # seconds, of real time; Stripe signs every retry again
EVENT_LEASE = timedelta(minutes=5)
EVENT_BATCH_SIZE = 500  # events that one run of the job takes up
FIRST_PAUSE = timedelta(minutes=1)  # of the job after a failure; each further one is twice as long
MAX_PAUSE = timedelta(hours=6)
STRIPE_TOKEN = re.compile(r"[A-Za-z0-9_.\-]+")  # an id, event type or API version


class Rejected(Exception):
    """The delivery is not one of ours; nothing was stored. The text says why."""


class AlreadyClaimed(Exception):
    """Another process is handling the event."""


class ReasonMissing(Exception):
    """An event cannot be set aside without a reason; nothing was changed."""


class LeaseLost(Exception):
    """The lease expired while the event was handled; the process that claimed it next handles it."""


# Errors after which the same bytes may succeed a little later. After any other they would fail again.
TRANSIENT_ERRORS = (events.PaymentNotYetKnown, LeaseLost, OperationalError, InterfaceError)


# ── Receive ──────────────────────────────────────────────────────────────────────────────────────────────


def receive(body: bytes, signature: str, *, now: datetime) -> StripeEvent:
    """Check a delivery and store its event; return the stored event if it was received before.

    Raises `Rejected`.
    """
    _verify_signature(body, signature)
    payload = _parse(body)
    livemode = payload.get("livemode")
    if livemode is not settings.PRODUCTION:
        raise Rejected(
            f"livemode is {json.dumps(livemode)} but ENVIRONMENT is {settings.ENVIRONMENT}: "
            "the endpoint at Stripe belongs to the other mode."
        )
    if (foreign := payload.get("account")) is not None and foreign != known_account():
        raise Rejected(f"The event belongs to another account, {json.dumps(foreign)}.")
    try:
        return _store(payload, now=now)
    except (DataError, IntegrityError) as error:  # text that a database cannot keep, such as U+0000
        raise Rejected("The body holds characters that cannot be stored.") from error


def _verify_signature(body: bytes, signature: str) -> None:
    """Check Stripe's signature on the raw bytes. Raises `Rejected`."""
    if not signature.isascii():  # the library compares ASCII only, and would raise TypeError
        raise Rejected("The Stripe-Signature header is not ASCII.")
    reason = "no secret is configured in STRIPE_WEBHOOK_SECRET"
    for secret in settings.STRIPE_WEBHOOK_SECRETS:
        try:
            stripe.WebhookSignature.verify_header(
                body.decode(), signature, secret, tolerance=SIGNATURE_TOLERANCE
            )
        except UnicodeDecodeError:
            reason = "the body is not UTF-8"
        except stripe.SignatureVerificationError as error:
            reason = str(error)
        else:
            return
    raise Rejected(f"The signature fits none of the secrets in STRIPE_WEBHOOK_SECRET: {reason}")


def _parse(body: bytes) -> dict[str, Any]:
    """Parse a body as an event; refuse JSON that some of our databases cannot store. Raises `Rejected`."""
    try:
        payload = strict_json.loads(body)
    except strict_json.InvalidJson as error:
        raise Rejected(f"The body {error}.") from None
    correct = (
        isinstance(payload, dict)
        and _is_token(payload.get("id"), 120)
        and _is_token(payload.get("type"), 80)
        and (payload.get("api_version") is None or _is_token(payload["api_version"], 40))
        and timestamps.is_timestamp(payload.get("created"))
        and isinstance(payload.get("data"), dict)
        and isinstance(payload["data"].get("object"), dict)
    )
    if not correct:
        raise Rejected("The body is not an event of Stripe.")
    return payload  # type: ignore[no-any-return]  # a dict, as was checked


def _is_token(value: Any, max_length: int) -> bool:
    return isinstance(value, str) and len(value) <= max_length and STRIPE_TOKEN.fullmatch(value) is not None


@unit_of_work
def _store(payload: dict[str, Any], *, now: datetime) -> StripeEvent:
    event, _created = StripeEvent.objects.get_or_create(
        pk=payload["id"],
        defaults={
            "type": payload["type"],
            "api_version": payload.get("api_version") or "",
            "created": timestamps.from_timestamp(payload["created"]),
            "payload": payload,
            "received_at": now,
        },
    )
    return event


# ── Claim and handle ─────────────────────────────────────────────────────────────────────────────────────


def claim(event_id: str, *, now: datetime, again: bool = False) -> StripeEvent | None:
    """Claim a stored event for five minutes; return None if it is ended: done, not handled, or set aside.

    With `again`, those that were not handled or set aside are claimed, too. Raises `AlreadyClaimed` when
    another lease is live.
    """
    ended = (StripeEvent.Status.DONE,) if again else StripeEvent.ENDED_STATUSES
    claimed = (
        StripeEvent.objects.unclaimed(now)
        .exclude(status__in=ended)
        .filter(pk=event_id)
        .update(claimed_until=now + EVENT_LEASE, attempts=F("attempts") + 1)
    )
    event = StripeEvent.objects.get(pk=event_id)
    if claimed:
        return event
    if event.status in ended:
        return None
    raise AlreadyClaimed(event_id)


def handle(event: StripeEvent, *, now: datetime) -> None:
    """Handle a claimed event in one transaction and mark it done.

    Raises what the handler raised, and `LeaseLost` when another process claimed it meanwhile. Nothing is
    written then, and the event can be claimed again. An error that is not transient is logged as an error
    when the event did not have it before.
    """
    # `attempts` grows with each claim: it distinguishes ours from a later one, even at the same instant
    ours = StripeEvent.objects.filter(pk=event.pk, claimed_until=event.claimed_until, attempts=event.attempts)
    try:
        _handle_and_mark_done(event, ours, now=now)
    except Exception as error:
        # in a form that every database keeps: the text may repeat what Stripe sent
        text = f"{type(error).__name__}: {error}".encode("utf-8", "backslashreplace").decode()
        text = text.replace("\0", "\\0")[:1000]
        pause = min(FIRST_PAUSE * 2 ** min(event.attempts - 1, 10), MAX_PAUSE)
        ours.update(
            status=StripeEvent.Status.FAILED, claimed_until=None, last_error=text, retry_at=now + pause
        )
        if isinstance(error, TRANSIENT_ERRORS):
            logger.info("Stripe event %s waits: %s", event.pk, error)
        elif event.status == StripeEvent.Status.FAILED and event.last_error == text:
            logger.info("Stripe event %s failed again: %s", event.pk, text)
        else:
            logger.exception("Stripe event %s is kept as failed", event.pk)
        raise


@unit_of_work
def _handle_and_mark_done(event: StripeEvent, ours: QuerySet[StripeEvent], *, now: datetime) -> None:
    status = events.handle(event, now=now)
    if not ours.update(status=status, claimed_until=None, last_error="", retry_at=None, processed_at=now):
        raise LeaseLost(event.pk)


@unit_of_work
def set_aside(event_id: str, *, reason: str, actor: str, now: datetime) -> bool:
    """Record a person's decision that an event is not to be processed.

    Returns False when it is done, was set aside before, or is being processed. Raises `ReasonMissing`.
    """
    text = reason.strip()
    if not text:
        raise ReasonMissing
    open_ones = StripeEvent.objects.open().unclaimed(now).filter(pk=event_id)
    if not open_ones.update(status=StripeEvent.Status.SET_ASIDE, retry_at=None):
        return False
    SetAside.objects.create(event_id=event_id, reason=text[:500], actor=actor[:150], at=now)
    return True


# ── Process ──────────────────────────────────────────────────────────────────────────────────────────────


def process(event_id: str, *, now: datetime, again: bool = False) -> bool:
    """Claim a stored event and handle it. Return False if it was ended already, as `claim` says.

    Raises `AlreadyClaimed`, and what `handle` raises.
    """
    event = claim(event_id, now=now, again=again)
    if event is None:
        return False
    handle(event, now=now)
    return True


def process_pending(*, now: datetime, limit: int = EVENT_BATCH_SIZE, include_pausing: bool = False) -> int:
    """Process events that failed or were never finished; return how many are done.

    Those that pause after a failure are left out, unless `include_pausing`. A failure does not hold up the
    others: `handle` logs it, and the event stays for a later run. Fewest attempts come first, so events that
    always fail do not block newer ones.
    """
    events_to_do = StripeEvent.objects.claimable(now) if include_pausing else StripeEvent.objects.due(now)
    waiting = list(
        events_to_do.order_by("attempts", "received_at", "created").values_list("pk", flat=True)[:limit]
    )
    done = 0
    for event_id in waiting:
        try:
            done += process(event_id, now=now)
        except AlreadyClaimed:
            continue
        except Exception as error:  # `handle` has logged an error of the handler
            logger.info("Stripe event %s is left for a later run: %s", event_id, error)
    return done


def end_pauses(*, now: datetime) -> None:
    """Let the next run of the job take up every failed event: what made them fail may be mended."""
    StripeEvent.objects.failed().filter(retry_at__gt=now).update(retry_at=now)
