"""The migration that builds the history of orders that are older than it, from what their rows say."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from kikaku.sandbox import Sandbox
from ledger.models import Order, OrderEvent
from ledger.sales import cancellation, checkout, mail, refunds
from ledger.testing import build
from ledger.testing.company import ensure_tax_status

pytestmark = pytest.mark.django_db(transaction=True)
BEFORE = [("ledger", "0005_closing_balances")]
BUILT = [("ledger", "0007_order_history")]


def migrate(target: list[tuple[str, str]]) -> None:
    MigrationExecutor(connection).migrate(target)


@pytest.fixture
def migrated() -> Iterator[None]:
    """Leave the schema as it was, whatever a test did to it."""
    yield
    migrate(MigrationExecutor(connection).loader.graph.leaf_nodes())


def kinds(order: Order) -> list[str]:
    return list(order.events.values_list("kind", flat=True))


def rebuild() -> None:
    """Lose the history, as if the orders were older than it, and build it from their rows."""
    migrate(BEFORE)
    assert "ledger_orderevent" not in connection.introspection.table_names()
    migrate(MigrationExecutor(connection).loader.graph.leaf_nodes())
    ensure_tax_status()


def test_the_history_of_older_orders_is_built_in_order(sandbox: Sandbox, migrated: None) -> None:
    now = timezone.now() - timedelta(days=3)
    clock = now.timestamp()
    sandbox.clock = lambda: clock

    def later(hours: int) -> datetime:
        nonlocal clock
        clock += hours * 3600
        return build.now_of(sandbox)

    sold = build.paid_order(sandbox, now=now)
    shipment = build.ship(sold, now=later(5))
    mail.send_due(now=later(1))
    refund = build.refund(sold, 1_000, reason="箱のへこみ", now=later(1))
    build.deliver(sandbox)

    expired = build.order(now=later(1))
    build.session_of(expired, now=build.now_of(sandbox))
    checkout.expire_due(now=later(1))

    pending = build.order(now=later(1))
    cancelled = build.paid_order(sandbox, now=later(1))
    cancellation.cancel(order=cancelled, reason=Order.CancelReason.STAFF, actor="hanako", now=later(1))
    refunds.send_requested(now=later(1))

    rebuild()
    assert not OrderEvent.objects.filter(reconstructed=False).exists()
    assert kinds(sold) == [
        "placed",
        "payment_started",
        "paid",
        "shipped",
        "mail_sent",
        "mail_sent",
        "refund_requested",
        "refund_succeeded",
    ]
    events = {event.kind: event for event in sold.events.all()}
    payment = sold.payments.get()
    assert (events["placed"].at, events["placed"].data) == (sold.placed_at, {"total": 11_500})
    assert events["paid"].data == {
        "payment_intent": payment.payment_intent,
        "amount": 11_500,
        "method": "card",
        "captured_at": payment.captured_at.isoformat(),
    }
    assert (events["shipped"].actor, events["shipped"].at) == ("staff", shipment.shipped_at)
    assert events["shipped"].data["pieces"] == {"1": 1}
    assert events["shipped"].data["tracking_number"] == "1234-5678-9012"
    assert events["refund_requested"].data == {"refund": refund.pk, "amount": 1_000, "reason": "箱のへこみ"}
    assert kinds(expired) == ["placed", "payment_started", "page_expired", "cancelled"]
    assert expired.events.get(kind="cancelled").data == {"reason": "expired"}
    assert kinds(pending) == ["placed"]
    assert kinds(cancelled)[:4] == ["placed", "payment_started", "paid", "cancelled"]
    assert cancelled.events.get(kind="cancelled").actor == "hanako"


def test_building_it_again_adds_only_what_is_missing(sandbox: Sandbox, migrated: None) -> None:
    order = build.paid_order(sandbox)
    rebuild()
    before = list(order.events.values_list("pk", "kind"))
    build.ship(order)
    first = order.events.values_list("pk", "kind", "reconstructed")
    recorded = [row for row in first if row[:2] not in before]
    migrate([("ledger", "0006_order_events")])
    migrate(BUILT)
    after: list[Any] = list(order.events.values_list("pk", "kind", "reconstructed"))
    assert [row[:2] for row in after if row[:2] in before] == before
    assert [kind for _pk, kind, _reconstructed in after].count("shipped") == 1
    assert all(row in after for row in recorded)


def test_many_orders_are_built_in_portions(migrated: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import import_module

    monkeypatch.setattr(import_module("ledger.migrations.0007_order_history"), "PORTION", 2)
    orders = [build.order() for _number in range(5)]
    rebuild()
    assert [kinds(order) for order in orders] == [["placed"]] * 5
