"""The history of an order: each act is stored once, in the transaction that carries it out."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction

from ledger.models import OrderEvent
from ledger.sales import history
from ledger.testing import build

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
Kind = OrderEvent.Kind


def test_an_act_is_recorded_with_actor_instant_and_data(db: None) -> None:
    order = build.order(now=NOW)
    with transaction.atomic():
        history.record(
            order,
            Kind.VOUCHER_ISSUED,
            actor=history.CUSTOMER,
            now=NOW,
            fact="attempt:7",
            attempt=7,
            pay_until=NOW + timedelta(days=3),
        )
    event = order.events.get(kind=Kind.VOUCHER_ISSUED)
    assert (event.actor, event.at, event.fact) == ("customer", NOW, "attempt:7")
    assert event.data == {"attempt": 7, "pay_until": "2026-11-23T03:00:00+00:00"}
    assert not event.reconstructed


def test_the_same_act_on_the_same_fact_is_recorded_once(db: None) -> None:
    order = build.order(now=NOW)
    for actor in ("first", "second"):
        with transaction.atomic():
            history.record(order.pk, Kind.SHIPPED, actor=actor, now=NOW, fact="shipment:1")
            history.record(order.pk, Kind.SHIPPED, actor=actor, now=NOW, fact=f"shipment:{actor}")
    found = order.events.filter(kind=Kind.SHIPPED).order_by("pk").values_list("fact", "actor")
    assert list(found) == [
        ("shipment:1", "first"),
        ("shipment:first", "first"),
        ("shipment:second", "second"),
    ]


def test_an_act_that_is_rolled_back_leaves_no_event(db: None) -> None:
    order = build.order(now=NOW)
    with pytest.raises(ValueError, match="undone"), transaction.atomic():
        history.record(order, Kind.CANCELLED, actor=history.SYSTEM, now=NOW)
        raise ValueError("undone")
    assert not order.events.filter(kind=Kind.CANCELLED).exists()


@pytest.mark.django_db(transaction=True)
def test_an_act_is_recorded_within_a_transaction_only() -> None:
    order = build.order(now=NOW)
    with pytest.raises(RuntimeError, match="transaction"):
        history.record(order, Kind.CANCELLED, actor=history.SYSTEM, now=NOW)
