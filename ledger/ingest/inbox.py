"""Stripe's webhooks: checked, stored, claimed, handled in one transaction, done.

1. The signature is checked on the raw bytes, with each of the configured secrets; `livemode` must be ours.
2. The event is stored; its id is the primary key, so a second delivery is no second event.
3. A conditional update claims it for five minutes; whoever meets a live claim leaves.
4. One transaction without any network call handles it and marks it done.
5. A failure rolls back, is written to the event, and leaves it claimable: for our job, which tries every minute. When
   it may pass by itself (a locked database, a payment that is not known yet) Stripe is asked to send again, too. An
   event that can not be understood would be the same at each retry: it is kept, failed, and Stripe is told 200.
"""

import json
import logging
import re
from datetime import datetime, timedelta
from typing import Any

import stripe
from django.conf import settings
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest, JsonResponse, UnreadablePostError
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from kikaku.transactions import unit_of_work
from ledger.ingest import events
from ledger.models import StripeEvent
from ledger.stripe import schema, timestamps

logger = logging.getLogger(__name__)

BODY_LIMIT = 1_000_000  # bytes; Stripe's events have a few thousand
TOLERANCE = 300  # seconds, of real time; Stripe signs every retry anew
LEASE = timedelta(minutes=5)
NAME = re.compile(r"[A-Za-z0-9_.\-]+")  # ids, types and versions of Stripe
DEPTH = 40  # levels of JSON; Stripe's events have about ten, SQLite refuses a thousand


class Rejected(Exception):
    """The delivery is not one of ours; nothing was stored. The text says why."""


class AlreadyClaimed(Exception):
    """Somebody else is handling the event at this moment."""


class LeaseLost(Exception):
    """The claim ran out while the event was handled; whoever claimed it next decides."""


# What may succeed with the same bytes a little later. Everything else would fail again.
PASSING = (events.PaymentNotYetKnown, LeaseLost, OperationalError, InterfaceError)


def _verify(body: bytes, signature: str) -> None:
    """Check Stripe's signature on the raw bytes. Raises `Rejected`."""
    if not signature.isascii():  # the library compares ASCII only, and would raise TypeError
        raise Rejected("The Stripe-Signature header is not ASCII.")
    reason = "no secret is configured in STRIPE_WEBHOOK_SECRET"
    for secret in settings.STRIPE_WEBHOOK_SECRETS:
        try:
            stripe.WebhookSignature.verify_header(body.decode(), signature, secret, tolerance=TOLERANCE)
        except UnicodeDecodeError:
            reason = "the body is not UTF-8"
        except stripe.SignatureVerificationError as error:
            reason = str(error)
        else:
            return
    raise Rejected(f"The signature fits none of the secrets in STRIPE_WEBHOOK_SECRET: {reason}")


def _parse(body: bytes) -> dict[str, Any]:
    """Read an event: JSON that every database keeps, with the fields that every event has. Raises `Rejected`."""
    try:
        payload: Any = json.loads(body.decode(), parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError):
        raise Rejected("The body is not JSON.") from None
    if _deeper_than(payload, DEPTH):
        raise Rejected(f"The body is nested more than {DEPTH} levels deep.")
    correct = (
        isinstance(payload, dict)
        and _named(payload.get("id"), 120)
        and _named(payload.get("type"), 80)
        and (payload.get("api_version") is None or _named(payload["api_version"], 40))
        and timestamps.is_timestamp(payload.get("created"))
        and isinstance(payload.get("data"), dict)
        and isinstance(payload["data"].get("object"), dict)
    )
    if not correct:
        raise Rejected("The body is not an event of Stripe.")
    return payload  # type: ignore[no-any-return]  # a dict, as was checked


def _named(value: Any, length: int) -> bool:
    return isinstance(value, str) and len(value) <= length and NAME.fullmatch(value) is not None


def _no_number(constant: str) -> float:
    """Refuse NaN and Infinity, which Python reads and JSON does not know."""
    raise ValueError(constant)


def _finite(digits: str) -> float:
    """Read a number; one that is too large to be any is refused."""
    number = float(digits)
    return number if abs(number) != float("inf") else _no_number(digits)


def _deeper_than(value: Any, levels: int) -> bool:
    layer = [value]
    for _level in range(levels):
        layer = [
            inner
            for outer in layer
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return bool(layer)


def receive(body: bytes, signature: str, *, now: datetime) -> StripeEvent:
    """Check a delivery and store its event; an event that is there already is returned as it stands.

    Raises `Rejected`.
    """
    _verify(body, signature)
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
        raise Rejected("The body holds characters that can not be stored.") from error


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


def claim(event_id: str, *, now: datetime) -> StripeEvent | None:
    """Claim a stored event for five minutes; None when it had been done before.

    Raises `AlreadyClaimed` for a live claim.
    """
    claimed = (
        StripeEvent.objects.filter(pk=event_id)
        .exclude(status=StripeEvent.Status.DONE)
        .filter(Q(claimed_until__isnull=True) | Q(claimed_until__lte=now))
        .update(claimed_until=now + LEASE, attempts=F("attempts") + 1)
    )
    event = StripeEvent.objects.get(pk=event_id)
    if claimed:
        return event
    if event.status == StripeEvent.Status.DONE:
        return None
    raise AlreadyClaimed(event_id)


def handle(event: StripeEvent, *, now: datetime) -> None:
    """Handle a claimed event in one transaction and mark it done.

    Raises whatever the handler raised, and `LeaseLost` when somebody else claimed it meanwhile; nothing is written
    then, and the event is claimable again.
    """
    # `attempts` grows with each claim: it tells ours from a later one, even at the same instant
    ours = StripeEvent.objects.filter(pk=event.pk, claimed_until=event.claimed_until, attempts=event.attempts)
    try:
        _handle(event, ours, now=now)
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
def _handle(event: StripeEvent, ours: QuerySet[StripeEvent], *, now: datetime) -> None:
    if event.type in events.HANDLERS:
        schema.check(event.payload["data"]["object"], event.type.rpartition(".")[0])
    events.handle(event, now=now)
    if not ours.update(status=StripeEvent.Status.DONE, claimed_until=None, last_error="", processed_at=now):
        raise LeaseLost(event.pk)


def process(event_id: str, *, now: datetime) -> bool:
    """Claim a stored event and handle it. Returns False when it had been done before.

    Raises `AlreadyClaimed`, and what `handle` raises.
    """
    event = claim(event_id, now=now)
    if event is None:
        return False
    handle(event, now=now)
    return True


def process_pending(*, now: datetime, limit: int = 500) -> int:
    """Handle what failed or was left, the least tried and then the oldest first; returns how many were done.

    One failure does not hold up the others: it is logged and stays for the next run, and any number of events that
    never succeed leave room for those that came after them.
    """
    waiting = list(
        StripeEvent.objects.filter(status__in=[StripeEvent.Status.PENDING, StripeEvent.Status.FAILED])
        .filter(Q(claimed_until__isnull=True) | Q(claimed_until__lte=now))
        .order_by("attempts", "received_at", "created")
        .values_list("pk", flat=True)[:limit]
    )
    done = 0
    for event_id in waiting:
        try:
            done += process(event_id, now=now)
        except AlreadyClaimed:
            continue
        except PASSING as error:
            logger.info("Stripe event %s waits: %s", event_id, error)
        except (
            Exception
        ) as error:  # told with its traceback when it came; it stays in the admin until it is done
            logger.error("Stripe event %s failed again: %s: %s", event_id, type(error).__name__, error)
    return done


def _again() -> JsonResponse:
    return JsonResponse({"error": "The event could not be handled; please send it again."}, status=500)


@csrf_exempt
@require_POST
def stripe_webhook(request: HttpRequest) -> JsonResponse:
    """Answer Stripe: 200 done or kept as failed, 400 not ours, 409 in hand, 413 too large, 500 to be sent again."""
    length = str(request.META.get("CONTENT_LENGTH") or "0")
    if not (length.isascii() and length.isdigit()):
        return JsonResponse({"error": "Content-Length is no number."}, status=400)
    if int(length[:20]) > BODY_LIMIT:
        return JsonResponse({"error": "The body is larger than 1 MB."}, status=413)
    now = timezone.now()
    try:
        event = receive(request.body, request.headers.get("Stripe-Signature", ""), now=now)
    except (Rejected, UnreadablePostError) as error:
        logger.warning("Webhook rejected: %s", error)
        return JsonResponse({"error": str(error)}, status=400)
    except PASSING as error:
        logger.warning("A webhook could not be stored: %s", error)
        return _again()
    try:
        process(event.pk, now=now)
    except AlreadyClaimed:
        return JsonResponse({"error": "The event is being handled."}, status=409)
    except events.PaymentNotYetKnown as error:
        logger.info("Stripe event %s waits: %s", event.pk, error)
        return JsonResponse({"error": "The event's payment is not known yet."}, status=500)
    except PASSING as error:
        logger.warning("Stripe event %s waits: %s", event.pk, error)
        return _again()
    except Exception:  # whatever the handler met: it would meet it again at each retry
        logger.exception("Stripe event %s is kept as failed", event.pk)
        return JsonResponse({"ok": False, "error": "The event is kept, but was not understood."})
    return JsonResponse({"ok": True})
