"""Receive Stripe's events, and process them: process = claim + handle.

1. `receive` checks the signature on the raw bytes, with each of the configured secrets; `livemode` must be
   true in production and false elsewhere.
2. It stores the event. Its id is the primary key, so a second delivery adds no second event.
3. `claim` takes a lease of five minutes by a conditional update; another process that meets a live lease
   stops.
4. `handle` handles the event in one transaction without any network call, and marks it done.
5. If handling fails, the transaction is rolled back, the error is stored with the event, and the lease ends.
   Our job retries every failed event each minute. After a transient error (a locked database, a payment that
   is not known yet) the webhook also answers 500, so Stripe retries too; after any other error it answers
   200, because a retry by Stripe would not help before our code is fixed.
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
from ledger.models import StripeEvent
from ledger.stripe import schema, strict_json, timestamps

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 1_000_000  # Stripe's events have a few thousand
SIGNATURE_TOLERANCE = 300  # seconds, of real time; Stripe signs every retry again
EVENT_LEASE = timedelta(minutes=5)
EVENT_BATCH_SIZE = 500  # events that one run of the job takes up
STRIPE_TOKEN = re.compile(r"[A-Za-z0-9_.\-]+")  # an id, event type or API version


class Rejected(Exception):
    """The delivery is not one of ours; nothing was stored. The text says why."""


class AlreadyClaimed(Exception):
    """Another process is handling the event."""


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


def claim(event_id: str, *, now: datetime) -> StripeEvent | None:
    """Claim a stored event for five minutes; return None if it is done already.

    Raises `AlreadyClaimed` when another lease is live.
    """
    claimed = (
        StripeEvent.objects.claimable(now)
        .filter(pk=event_id)
        .update(claimed_until=now + EVENT_LEASE, attempts=F("attempts") + 1)
    )
    event = StripeEvent.objects.get(pk=event_id)
    if claimed:
        return event
    if event.status == StripeEvent.Status.DONE:
        return None
    raise AlreadyClaimed(event_id)


def handle(event: StripeEvent, *, now: datetime) -> None:
    """Handle a claimed event in one transaction and mark it done.

    Raises what the handler raised, and `LeaseLost` when another process claimed it meanwhile. Nothing is
    written then, and the event can be claimed again.
    """
    # `attempts` grows with each claim: it distinguishes ours from a later one, even at the same instant
    ours = StripeEvent.objects.filter(pk=event.pk, claimed_until=event.claimed_until, attempts=event.attempts)
    try:
        _handle_and_mark_done(event, ours, now=now)
    except Exception as error:
        ours.update(
            status=StripeEvent.Status.FAILED,
            claimed_until=None,
            # in a form that every database keeps: the text may repeat what Stripe sent
            last_error=f"{type(error).__name__}: {error}".encode("utf-8", "backslashreplace")
            .decode()
            .replace("\0", "\\0")[:1000],
        )
        raise


@unit_of_work
def _handle_and_mark_done(event: StripeEvent, ours: QuerySet[StripeEvent], *, now: datetime) -> None:
    if event.type in events.HANDLERS:
        name = event.type.rpartition(".")[0]  # "checkout.session.completed" → "checkout.session"
        schema.check(event.payload["data"]["object"], name)
    events.handle(event, now=now)
    if not ours.update(status=StripeEvent.Status.DONE, claimed_until=None, last_error="", processed_at=now):
        raise LeaseLost(event.pk)


# ── Process ──────────────────────────────────────────────────────────────────────────────────────────────


def process(event_id: str, *, now: datetime) -> bool:
    """Claim a stored event and handle it. Return False if it was done already.

    Raises `AlreadyClaimed`, and what `handle` raises.
    """
    event = claim(event_id, now=now)
    if event is None:
        return False
    handle(event, now=now)
    return True


def process_pending(*, now: datetime, limit: int = EVENT_BATCH_SIZE) -> int:
    """Process events that failed or were never finished; return how many are done.

    A failure does not hold up the others: it is logged, and the event stays for the next run. Fewest attempts
    come first, so events that always fail do not block newer ones.
    """
    waiting = list(
        StripeEvent.objects.claimable(now)
        .order_by("attempts", "received_at", "created")
        .values_list("pk", flat=True)[:limit]
    )
    done = 0
    for event_id in waiting:
        try:
            done += process(event_id, now=now)
        except AlreadyClaimed:
            continue
        except TRANSIENT_ERRORS as error:
            logger.info("Stripe event %s waits: %s", event_id, error)
        except Exception as error:  # the webhook logs the traceback of its own attempt
            logger.error("Stripe event %s failed again: %s: %s", event_id, type(error).__name__, error)
    return done
