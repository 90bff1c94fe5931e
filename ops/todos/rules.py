"""The rules of to-dos: each turns facts into findings, in a constant number of queries.

A rule only reads. Its thresholds are `TODO_THRESHOLDS` of the settings. `figures` are what the to-do's
sentence says (`ops.todos.words`): JSON values, and no personal data.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, Exists, F, OuterRef, Q, Subquery

from kikaku.days import business_day, day_bounds
from ledger.models import Discrepancy, Order, OrderEvent, Payment, Refund, StockItem, StripeEvent
from ledger.models.orders import OrderStatus
from ops.models import Todo
from shop.models import Product

Kind, Level = Todo.Kind, Todo.Level
MAX_FACTS = 1_000  # of one rule in one run, oldest first; there is work for a week
LATE_VOUCHER_DAYS = 60  # a refund to a bank account waits 45 days for the customer
SHOP = "shop"  # subject of what concerns the whole shop


@dataclass(frozen=True)
class Finding:
    """A fact that needs a person: one to-do for each kind and subject."""

    kind: str
    subject: str
    level: int  # of `Todo.Level`
    since: datetime
    figures: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""  # which fact it is, where a subject can have another one later
    weight: int = 0  # how bad it is within its level; more is worse


@dataclass(frozen=True)
class Rule:
    """A function that finds the facts of some kinds, and the number of its queries."""

    kinds: tuple[str, ...]
    find: Callable[[datetime], Iterator[Finding]]  # takes `now`; yields `MAX_FACTS` findings at most
    queries: int = 1


def threshold(name: str) -> int:
    """Return a threshold of the settings."""
    thresholds: Mapping[str, int] = settings.TODO_THRESHOLDS
    return thresholds[name]


def discrepancies(now: datetime) -> Iterator[Finding]:
    """Find what the close, or an event, has left to a person: differences and tasks."""
    rows = Discrepancy.objects.unresolved().order_by("pk")
    for row in rows.only("kind", "object_id", "amount", "day", "created_at")[:MAX_FACTS]:
        is_difference = row.category == Discrepancy.Category.DIFFERENCE
        yield Finding(
            Kind.DIFFERENCE if is_difference else Kind.DISCREPANCY,
            str(row.pk),
            Level.ALARM if is_difference else Level.WARNING,
            since=row.created_at,
            figures={
                "what": row.kind,
                "object": row.object_id,
                "amount": row.amount,
                "day": row.day.isoformat(),
            },
        )


def stock(now: datetime) -> Iterator[Finding]:
    """Find items on sale of which few or no pieces are left, and any of which more is reserved than there."""
    on_sale = Q(variant__retired=False, variant__product__status=Product.Status.ACTIVE)
    rows = (
        StockItem.objects.filter(on_hand__lte=F("reserved") + threshold("stock_pieces"))
        .filter(on_sale | Q(on_hand__lt=F("reserved")))
        .order_by("pk")
        .values_list("pk", "sku", "on_hand", "reserved")
    )
    for pk, sku, on_hand, reserved in rows[:MAX_FACTS]:
        yield stock_finding(pk, sku, on_hand, reserved, now=now)


def stock_finding(pk: int, sku: str, on_hand: int, reserved: int, *, now: datetime) -> Finding:
    """Return the finding of an item of which few pieces, none, or fewer than none are left to sell."""
    available = on_hand - reserved
    return Finding(
        Kind.NEGATIVE_STOCK if available < 0 else Kind.LOW_STOCK,
        sku,
        Level.WARNING if available > 0 else Level.ALARM,
        since=now,
        figures={"item": pk, "on_hand": on_hand, "reserved": reserved, "available": available},
        weight=max(0, -available),
    )


def refund_rate(now: datetime) -> Iterator[Finding]:
    """Find an unusual share of payments that were refunded, in whole or in part, in the last days."""
    days = threshold("refund_days")
    start = now - timedelta(days=days)
    payments = Payment.objects.filter(captured_at__gte=start).count()
    refunded = Refund.objects.filter(
        requested_at__gte=start, status__in=(*Refund.IN_PROGRESS_STATUSES, Refund.Status.SUCCEEDED)
    ).aggregate(count=Count("payment", distinct=True))["count"]
    if level := _level_of_rate(refunded, payments, "refund"):
        percent = refunded * 100 // payments
        figures = {"refunds": refunded, "payments": payments, "percent": percent, "days": days}
        yield Finding(Kind.REFUND_RATE, SHOP, level, since=now, figures=figures, weight=percent // 10)


def payment_failures(now: datetime) -> Iterator[Finding]:
    """Find an unusual share of orders whose payment was refused, of those that somebody tried to pay."""
    hours = threshold("payment_hours")
    failures = OrderEvent.objects.filter(order=OuterRef("pk"), kind=OrderEvent.Kind.PAYMENT_FAILED)
    payments = Payment.objects.filter(order=OuterRef("pk"))
    counts = (
        Order.objects.filter(placed_at__gte=now - timedelta(hours=hours))
        .annotate(has_failed=Exists(failures), has_paid=Exists(payments))
        .aggregate(
            failed=Count("pk", filter=Q(has_failed=True)),
            tried=Count("pk", filter=Q(has_failed=True) | Q(has_paid=True)),
        )
    )
    failed, tried = counts["failed"], counts["tried"]
    if level := _level_of_rate(failed, tried, "payment"):
        percent = failed * 100 // tried
        figures = {"failed": failed, "tried": tried, "percent": percent, "hours": hours}
        yield Finding(Kind.PAYMENT_FAILURES, SHOP, level, since=now, figures=figures, weight=percent // 10)


def _level_of_rate(part: int, whole: int, name: str) -> int | None:
    """Return the level of a rate by its two thresholds; None below both, or if it is one of too few."""
    if whole < threshold("rate_minimum"):
        return None
    if part * 100 >= whole * threshold(f"{name}_alarm_percent"):
        return Level.ALARM
    return Level.WARNING if part * 100 >= whole * threshold(f"{name}_warning_percent") else None


def failing_events(now: datetime) -> Iterator[Finding]:
    """Find events of Stripe that have failed several times."""
    rows = (
        StripeEvent.objects.failed()
        .filter(attempts__gte=threshold("event_attempts"))
        .order_by("received_at", "pk")
        .values_list("pk", "type", "attempts", "received_at")
    )
    for pk, kind, attempts, received_at in rows[:MAX_FACTS]:
        figures = {"type": kind, "attempts": attempts}
        yield Finding(Kind.FAILING_EVENT, pk, Level.ALARM, since=received_at, figures=figures)


def unfulfilled_orders(now: datetime) -> Iterator[Finding]:
    """Find orders that were paid days ago and of which something is still to be shipped."""
    days = threshold("unfulfilled_days")
    rows = (
        Order.objects.to_ship()
        .filter(paid_at__lt=now - timedelta(days=days))
        .order_by("paid_at", "pk")
        .values_list("pk", "number", "total", "paid_at", "placed_at", "status")
    )
    for pk, number, total, paid_at, placed_at, status in rows[:MAX_FACTS]:
        paid_at = paid_at or placed_at
        level = Level.ALARM if paid_at < now - timedelta(days=2 * days) else Level.WARNING
        figures = {
            "order": pk,
            "total": total,
            "days": (now - paid_at).days,
            "partly": status == OrderStatus.PARTIALLY_SHIPPED,
        }
        yield Finding(Kind.UNFULFILLED, number, level, since=paid_at, figures=figures)


def high_values(now: datetime) -> Iterator[Finding]:
    """Find paid orders of a large sum of which nothing is shipped."""
    rows = (
        Order.objects.filter(status=OrderStatus.PAID, total__gte=threshold("high_value"))
        .order_by("paid_at", "pk")
        .values_list("pk", "number", "total", "paid_at", "placed_at")
    )
    for pk, number, total, paid_at, placed_at in rows[:MAX_FACTS]:
        figures = {"order": pk, "total": total}
        yield Finding(Kind.HIGH_VALUE, number, Level.WARNING, since=paid_at or placed_at, figures=figures)


def order_volume(now: datetime) -> Iterator[Finding]:
    """Find yesterday, or today so far, with many more orders than usual, and yesterday with far fewer.

    Usual is the mean of the seven days before yesterday.
    """
    today = business_day(now)
    yesterday = today - timedelta(days=1)
    first, start, middle = (day_bounds(day)[0] for day in (yesterday - timedelta(days=7), yesterday, today))
    counts = Order.objects.filter(placed_at__gte=first).aggregate(
        week=Count("pk", filter=Q(placed_at__lt=start)),
        yesterday=Count("pk", filter=Q(placed_at__gte=start, placed_at__lt=middle)),
        today=Count("pk", filter=Q(placed_at__gte=middle)),
    )
    week, minimum = counts["week"], threshold("volume_minimum")
    if not week:
        return  # a new shop: nothing is usual yet
    for day, count in ((yesterday, counts["yesterday"]), (today, counts["today"])):
        percent = count * 700 // week
        is_high = count >= minimum and percent >= threshold("volume_high_percent")
        is_low = day == yesterday and week >= 7 * minimum and percent <= threshold("volume_low_percent")
        if is_high or is_low:
            yield Finding(
                Kind.ORDER_VOLUME,
                day.isoformat(),
                Level.WARNING if count else Level.ALARM,
                since=day_bounds(day)[0],
                figures={"day": day.isoformat(), "count": count, "week": week, "high": is_high},
                fingerprint="high" if is_high else "low",
                weight=percent // 100 if is_high else 0,
            )


def disputes(now: datetime) -> Iterator[Finding]:
    """Find disputes that a person has to answer at Stripe: their events have no effect here."""
    rows = (
        StripeEvent.objects.filter(status=StripeEvent.Status.UNHANDLED, type__startswith="charge.dispute.")
        .order_by("received_at", "pk")
        .values_list(
            "pk",
            "received_at",
            "payload__data__object__id",
            "payload__data__object__amount",
            "payload__data__object__currency",
            "payload__data__object__charge",
        )
    )
    found: dict[str, Finding] = {}
    for pk, received_at, dispute, amount, currency, charge in rows[:MAX_FACTS]:
        name = dispute if isinstance(dispute, str) and 0 < len(dispute) <= 120 else pk
        since = found[name].since if name in found else received_at
        figures = {
            "amount": amount if isinstance(amount, int) else 0,
            "currency": currency if isinstance(currency, str) else "",
            "charge": charge if isinstance(charge, str) else "",
            "event": pk,  # the latest
        }
        # an event of something new at a dispute that staff were done with is a new fact
        found[name] = Finding(Kind.DISPUTE, name, Level.ALARM, since=since, figures=figures, fingerprint=pk)
    yield from found.values()


def late_vouchers(now: datetime) -> Iterator[Finding]:
    """Find vouchers that were paid after the order was cancelled, until the money has gone back."""
    payment = Payment.objects.filter(payment_intent=OuterRef("object_id"), method=Payment.Method.KONBINI)
    returned = Refund.objects.filter(
        payment__payment_intent=OuterRef("object_id"), status=Refund.Status.SUCCEEDED
    )
    rows = (
        Discrepancy.objects.filter(
            kind=Discrepancy.Kind.PAID_AFTER_CANCELLATION,
            resolved_at__isnull=True,
            day__gte=business_day(now - timedelta(days=LATE_VOUCHER_DAYS)),
        )
        .annotate(
            order_id=Subquery(payment.values("order_id")[:1]),
            number=Subquery(payment.values("order__number")[:1]),
            is_returned=Exists(returned),
        )
        .filter(order_id__isnull=False, is_returned=False)
        .order_by("pk")
        .values_list("object_id", "amount", "created_at", "order_id", "number")
    )
    for intent, amount, created_at, order, number in rows[:MAX_FACTS]:
        figures = {"order": order, "number": number, "amount": amount}
        yield Finding(Kind.LATE_VOUCHER, intent, Level.WARNING, since=created_at, figures=figures)


RULES: tuple[Rule, ...] = (
    Rule((Kind.DIFFERENCE, Kind.DISCREPANCY), discrepancies),
    Rule((Kind.NEGATIVE_STOCK, Kind.LOW_STOCK), stock),
    Rule((Kind.REFUND_RATE,), refund_rate, queries=2),
    Rule((Kind.FAILING_EVENT,), failing_events),
    Rule((Kind.UNFULFILLED,), unfulfilled_orders),
    Rule((Kind.ORDER_VOLUME,), order_volume),
    Rule((Kind.PAYMENT_FAILURES,), payment_failures),
    Rule((Kind.HIGH_VALUE,), high_values),
    Rule((Kind.DISPUTE,), disputes),
    Rule((Kind.LATE_VOUCHER,), late_vouchers),
)
