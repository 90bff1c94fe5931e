"""Build the history of the orders that are older than it, from what their rows say; marked as reconstructed.

The orders are taken in portions, each written in a transaction of its own. Running it again adds only what is missing,
because an act on a fact is stored once. What no row records is missing: a declined card leaves its last error only, and
an act whose instant was not kept has the nearest one that was.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps
from django.db.models import Max, Min
from django.utils import timezone

PORTION = 200  # orders
CUSTOMER, STRIPE, SYSTEM = "customer", "stripe", "system"
# of acts within one second, which Stripe's clock does not tell apart
RANKS = {
    kind: rank
    for rank, kind in enumerate(
        (
            "placed",
            "payment_started",
            "payment_failed",
            "voucher_issued",
            "page_expired",
            "voucher_expired",
            "paid",
            "paid_other_amount",
            "paid_twice",
            "shipped",
            "cancelled",
            "paid_after_cancellation",
            "refund_requested",
            "refund_waiting",
            "refund_pending",
            "refund_succeeded",
            "refund_failed",
            "refund_cancelled",
            "mail_sent",
            "mail_failed",
        )
    )
}
REFUNDS = {
    "requires_action": "refund_waiting",
    "pending": "refund_pending",
    "succeeded": "refund_succeeded",
    "failed": "refund_failed",
    "canceled": "refund_cancelled",
}
Act = tuple[datetime, str, str, str, dict[str, Any]]  # when, kind, fact, actor, data


def build(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Write the events of every order."""
    database = schema_editor.connection.alias
    orders = apps.get_model("ledger", "Order").objects.using(database).order_by()
    events = apps.get_model("ledger", "OrderEvent").objects.using(database)
    now = timezone.now()
    bounds = orders.aggregate(first=Min("pk"), last=Max("pk"))
    if bounds["first"] is None:
        return
    for start in range(bounds["first"], bounds["last"] + 1, PORTION):
        rows = Rows(apps, database, start, start + PORTION)
        events.bulk_create(
            (
                events.model(
                    order_id=order.pk, at=at, kind=kind, fact=fact, actor=actor, data=data, reconstructed=True
                )
                for order in orders.filter(pk__gte=start, pk__lt=start + PORTION).order_by("pk")
                for at, kind, fact, actor, data in history(order, rows, now)
            ),
            ignore_conflicts=True,
        )


class Rows:
    """What belongs to a portion of orders, by order."""

    def __init__(self, apps: StateApps, database: str, start: int, end: int) -> None:
        def load(model: str, *fields: str, order: str = "order") -> dict[int, list[Any]]:
            found = defaultdict(list)
            rows = apps.get_model("ledger", model).objects.using(database)
            within = rows.filter(**{f"{order}__gte": start, f"{order}__lt": end})
            for row in within.order_by("pk").values("pk", order, *fields):
                found[row[order]].append(row)
            return found

        self.attempts = load(
            "CheckoutAttempt", "status", "last_error", "created_at", "expires_at", "voucher_expires_at"
        )
        self.payments = load("Payment", "payment_intent", "amount", "method", "captured_at")
        self.shipments = load("Shipment", "carrier", "tracking_number", "shipped_at", "actor")
        self.parts = load(
            "ShipmentLine", "shipment_id", "order_line__position", "quantity", order="shipment__order"
        )
        self.refunds = load(
            "Refund",
            *("amount", "status", "reason", "failure_reason"),
            *("requested_at", "asked_at", "actor"),
        )
        self.mails = load("OutgoingMail", "kind", "source", "status", "created_at", "sent_at")


def history(order: Any, rows: Rows, now: datetime) -> list[Act]:
    """Return an order's acts in their order; an instant that comes too early is moved to that of the act before."""
    acts = sorted(
        (*_order(order, rows), *_attempts(order, rows, now), *_payments(order, rows))
        + (*_shipments(order, rows), *_refunds(order, rows), *_mails(order, rows)),
        key=lambda act: (act[0].replace(microsecond=0), RANKS[act[1]]),
    )
    ordered: list[Act] = []
    for at, *rest in acts:
        ordered.append((max(at, ordered[-1][0]) if ordered else at, *rest))
    return ordered


def _order(order: Any, rows: Rows) -> Iterator[Act]:
    yield order.placed_at, "placed", "", CUSTOMER, {"total": order.total}
    if order.cancelled_at:
        by_staff = [one["actor"] for one in rows.refunds[order.pk] if one["requested_at"] == order.cancelled_at]
        actor = {"customer": CUSTOMER, "expired": SYSTEM}.get(order.cancel_reason, by_staff[0] if by_staff else "")
        yield order.cancelled_at, "cancelled", "", actor, {"reason": order.cancel_reason}


def _attempts(order: Any, rows: Rows, now: datetime) -> Iterator[Act]:
    attempts = rows.attempts[order.pk]
    for attempt, following in zip(attempts, [*attempts[1:], None]):
        fact, pk = f"attempt:{attempt['pk']}", {"attempt": attempt["pk"]}
        started, error = attempt["created_at"], attempt["last_error"]
        yield (
            started,
            "payment_started",
            fact,
            CUSTOMER,
            {**pk, "expires_at": attempt["expires_at"].isoformat()},
        )
        if error and attempt["status"] != "expired":
            yield started, "payment_failed", fact, CUSTOMER, {**pk, "message": error}
        deadline = attempt["voucher_expires_at"]
        if deadline:
            issued = _mailed(order, rows, "voucher", fact) or started
            yield issued, "voucher_issued", fact, CUSTOMER, {**pk, "pay_until": deadline.isoformat()}
        if attempt["status"] == "expired":
            # closed at its end at the latest: when the order ended or the next page was opened, if that was before
            ends = [deadline or attempt["expires_at"], now, order.cancelled_at]
            ends += [following["created_at"]] if following else []
            ended = max(started, min(end for end in ends if end))
            kind = "voucher_expired" if deadline else "page_expired"
            yield ended, kind, fact, SYSTEM, {**pk, **({"message": error} if error else {})}


def _payments(order: Any, rows: Rows) -> Iterator[Act]:
    for payment in rows.payments[order.pk]:
        if order.paid_at and payment["captured_at"] == order.paid_at:
            kind = "paid"
        elif order.paid_at:
            kind = "paid_twice"
        elif order.status == "cancelled" and payment["captured_at"] >= order.cancelled_at:
            kind = "paid_after_cancellation"
        elif payment["amount"] != order.total:
            kind = "paid_other_amount"
        else:
            kind = "paid_after_cancellation"
        yield (
            payment["captured_at"],
            kind,
            f"payment:{payment['payment_intent']}",
            CUSTOMER,
            {
                "payment_intent": payment["payment_intent"],
                "amount": payment["amount"],
                "method": payment["method"],
                "captured_at": payment["captured_at"].isoformat(),
            },
        )


def _shipments(order: Any, rows: Rows) -> Iterator[Act]:
    for shipment in rows.shipments[order.pk]:
        pieces = {
            str(part["order_line__position"]): part["quantity"]
            for part in rows.parts[order.pk]
            if part["shipment_id"] == shipment["pk"]
        }
        yield (
            shipment["shipped_at"],
            "shipped",
            f"shipment:{shipment['pk']}",
            shipment["actor"],
            {
                "shipment": shipment["pk"],
                "carrier": shipment["carrier"],
                "tracking_number": shipment["tracking_number"],
                "pieces": pieces,
            },
        )


def _refunds(order: Any, rows: Rows) -> Iterator[Act]:
    for refund in rows.refunds[order.pk]:
        fact, pk = f"refund:{refund['pk']}", {"refund": refund["pk"], "amount": refund["amount"]}
        actor = {"": SYSTEM, "Stripe": STRIPE}.get(refund["actor"], refund["actor"])
        requested = refund["requested_at"]
        yield requested, "refund_requested", fact, actor, {**pk, "reason": refund["reason"]}
        asked = _mailed(order, rows, "refund_waits", fact)
        if asked and refund["status"] != "requires_action":
            yield asked, "refund_waiting", f"{fact}@{asked.isoformat()}", STRIPE, pk
        if kind := REFUNDS.get(refund["status"]):
            mail = {"refund_succeeded": "refunded", "refund_waiting": "refund_waits"}.get(kind, "")
            ended = _mailed(order, rows, mail, fact) or refund["asked_at"] or requested
            reason = refund["failure_reason"]
            if kind in ("refund_waiting", "refund_pending"):  # which may happen again
                fact = f"{fact}@{ended.isoformat()}"
            yield ended, kind, fact, STRIPE, {**pk, **({"message": reason} if reason else {})}


def _mails(order: Any, rows: Rows) -> Iterator[Act]:
    for mail in rows.mails[order.pk]:
        fact, data = f"mail:{mail['pk']}", {"mail": mail["pk"], "mail_kind": mail["kind"]}
        if mail["sent_at"]:
            yield mail["sent_at"], "mail_sent", f"{fact}@{mail['sent_at'].isoformat()}", SYSTEM, data
        if mail["status"] == "failed":
            yield mail["created_at"], "mail_failed", f"{fact}@{mail['created_at'].isoformat()}", SYSTEM, data


def _mailed(order: Any, rows: Rows, kind: str, source: str) -> datetime | None:
    """Return when a mail was written: its fact happened in the same transaction."""
    return next(
        (m["created_at"] for m in rows.mails[order.pk] if m["kind"] == kind and m["source"] == source), None
    )


class Migration(migrations.Migration):
    atomic = False  # each portion commits by itself

    dependencies = [("ledger", "0006_order_events")]

    operations = [migrations.RunPython(build, migrations.RunPython.noop)]
