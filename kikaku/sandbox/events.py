"""Events, and their delivery as signed webhooks with growing delays between retries."""

import hashlib
import hmac
import json
from dataclasses import dataclass

from kikaku.sandbox.http import json_bytes
from kikaku.sandbox.state import Condition, Json, Transaction, new_id

EVENT_RETENTION_SECONDS = 30 * 24 * 3600  # https://docs.stripe.com/api/events: events of the last 30 days
MAX_RETRY_SECONDS = 3 * 24 * 3600  # https://docs.stripe.com/webhooks#automatic-retries: up to three days
# Shorter at the start than Stripe's, for a developer whose server was restarting.
RETRY_DELAYS = (2, 4, 8, 15, 30, 60, 120, 300, 900, 1800, 3600)
FINAL_RETRY_DELAY = 3 * 3600


@dataclass(frozen=True)
class Delivery:
    """One event to be posted to the webhook endpoint, signed when it was requested."""

    event_id: str
    body: bytes
    headers: dict[str, str]


def record_event(tx: Transaction, event_type: str, subject: Json, previous: Json | None = None) -> str:
    """Store an event with the subject in its present state and queue its delivery; return the event's id."""
    data: Json = {"object": subject}
    if previous is not None:
        data["previous_attributes"] = previous
    event: Json = {
        "id": new_id("evt"),
        "object": "event",
        "api_version": tx.api_version,
        "created": tx.second,
        "data": data,
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": tx.request_id, "idempotency_key": tx.idempotency_key},
        "type": event_type,
    }
    seq = tx.insert("event", event)
    tx.db.execute(
        "INSERT INTO deliveries (event_id, seq, state, attempts, next_at) VALUES (?, ?, 'pending', 0, ?)",
        (event["id"], seq, tx.now),
    )
    return str(event["id"])


def listed_events_condition(tx: Transaction) -> Condition:
    """Return the condition for events that Stripe still lists."""
    return Condition("created", [tx.second - EVENT_RETENTION_SECONDS], ">=")


def render_event(tx: Transaction, event: Json) -> Json:
    """Return an event with its present number of pending webhooks."""
    row = tx.db.execute("SELECT state FROM deliveries WHERE event_id = ?", (event["id"],)).fetchone()
    return {**event, "pending_webhooks": 1 if row is not None and row[0] == "pending" else 0}


def due_deliveries(tx: Transaction, *, limit: int) -> list[tuple[Json, float]]:
    """Return the events to deliver now, oldest first, each with the time at which it became due."""
    rows = tx.db.execute(
        "SELECT o.body, d.next_at FROM deliveries d JOIN objects o ON o.id = d.event_id"
        " WHERE d.state = 'pending' AND d.next_at <= ? ORDER BY d.seq LIMIT ?",
        (tx.now, limit),
    ).fetchall()
    return [(json.loads(body), next_at) for body, next_at in rows]


def claim_delivery(tx: Transaction, event_id: str, next_at: float, *, lease_seconds: float) -> bool:
    """Claim a delivery until the lease ends; return False if another process was first."""
    cursor = tx.db.execute(
        "UPDATE deliveries SET next_at = ? WHERE event_id = ? AND state = 'pending' AND next_at = ?",
        (tx.now + lease_seconds, event_id, next_at),
    )
    return cursor.rowcount == 1


def record_delivery(tx: Transaction, event_id: str, status: int) -> None:
    """Record the result of a delivery: 2xx ends it, anything else is retried for three days.

    `status` is the HTTP status, or 0 if there was no answer.

    Raises:
        KeyError: there is no such event.
    """
    row = tx.db.execute(
        "SELECT state, attempts, first_at FROM deliveries WHERE event_id = ?", (event_id,)
    ).fetchone()
    if row is None:
        raise KeyError(f"No such event: {event_id}")
    state, attempts, first_at = row
    if state == "delivered":
        return
    first_at = tx.now if first_at is None else first_at
    delay = RETRY_DELAYS[attempts] if attempts < len(RETRY_DELAYS) else FINAL_RETRY_DELAY
    if 200 <= status < 300:
        state = "delivered"
    elif tx.now + delay > first_at + MAX_RETRY_SECONDS:
        state = "given up"
    tx.db.execute(
        "UPDATE deliveries SET state = ?, attempts = ?, next_at = ?, first_at = ?, last_status = ?"
        " WHERE event_id = ?",
        (state, attempts + 1, tx.now + delay, first_at, status, event_id),
    )


def sign_event(event: Json, *, secret: str, timestamp: int) -> Delivery:
    """Return the signed delivery of an event (https://docs.stripe.com/webhooks#verify-manually).

    `timestamp` is in seconds; the signature covers it, so that a delivery cannot be replayed later.
    """
    body = json_bytes({**event, "pending_webhooks": 1})
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return Delivery(
        event["id"],
        body,
        {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (sandbox stand-in)",
            "Stripe-Signature": f"t={timestamp},v1={digest}",
        },
    )
