"""The history of an order: each act is stored once, in the transaction that carries it out."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from kikaku.sandbox import Sandbox
from ledger.models import Order, OrderEvent
from ledger.sales import cancellation, history, mail
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


def test_each_act_of_a_sale_leaves_its_event(db: None, sandbox: Sandbox) -> None:
    order = build.order()
    session = build.session_of(order)
    sandbox.pay(session, card="4000000000000002")  # declined
    sandbox.pay(session)
    build.deliver(sandbox)
    order.refresh_from_db()
    shipment = build.ship(order)
    refund = build.refund(order, 700, reason="箱のへこみ")
    build.deliver(sandbox)
    mail.send_due(now=timezone.now() + timedelta(minutes=1))
    attempt, payment = order.attempts.get(), order.payments.get()
    assert [(event.kind, event.actor, event.fact.split("@")[0]) for event in order.events.all()] == [
        ("placed", "customer", ""),
        ("payment_started", "customer", f"attempt:{attempt.pk}"),
        ("payment_failed", "customer", order.events.get(kind=Kind.PAYMENT_FAILED).fact),
        ("paid", "customer", f"payment:{payment.payment_intent}"),
        ("shipped", "staff", f"shipment:{shipment.pk}"),
        ("refund_requested", "staff", f"refund:{refund.pk}"),
        ("refund_succeeded", "stripe", f"refund:{refund.pk}"),
        *[("mail_sent", "system", f"mail:{row.pk}") for row in order.mails.order_by("pk")],
    ]
    failed = order.events.get(kind=Kind.PAYMENT_FAILED)
    assert failed.data == {"attempt": attempt.pk, "message": "Your card was declined."}
    shipped = order.events.get(kind=Kind.SHIPPED)
    assert shipped.data["pieces"] == {"1": 1}
    assert not order.events.filter(reconstructed=True).exists()


def test_the_history_holds_no_personal_data(db: None, sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    build.ship(order)
    build.refund(order, 700)
    build.deliver(sandbox)
    mail.send_due(now=timezone.now() + timedelta(minutes=1))
    text = json.dumps(list(order.events.values("fact", "actor", "data")), ensure_ascii=False)
    for value in vars(build.ADDRESS).values():
        assert not value or value not in text


def test_a_cancellation_says_why_and_by_whom(db: None, sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    reason = Order.CancelReason.CUSTOMER
    cancellation.cancel(order=order, reason=reason, actor="hanako", now=timezone.now())
    event = order.events.get(kind=Kind.CANCELLED)
    assert (event.actor, event.data) == ("hanako", {"reason": "customer"})
    assert order.events.get(kind=Kind.REFUND_REQUESTED).actor == "hanako"


def test_money_for_a_cancelled_order_is_told_with_its_refund(db: None, sandbox: Sandbox) -> None:
    order = build.order()
    sandbox.pay(build.session_of(order))
    Order.objects.filter(pk=order.pk).update(status="cancelled", cancel_reason="staff", cancelled_at=NOW)
    build.deliver(sandbox)
    kinds = list(order.events.order_by("pk").values_list("kind", "actor"))
    assert kinds[2:] == [("paid_after_cancellation", "customer"), ("refund_requested", "system")]


def test_staff_read_the_history_with_its_actors(db: None, staff: Client, sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    build.ship(order)
    page = staff.get(reverse("admin:ledger_order_change", args=[order.pk])).content.decode()
    for text in (
        "注文を受け付けました（¥11,500）。",
        "お客様",
        "クレジットカード",
        "ヤマト運輸 1234-5678-9012",
    ):
        assert text in page
    assert "※" not in page


def test_a_reconstructed_event_is_marked_for_staff(db: None, staff: Client) -> None:
    order = build.order()
    OrderEvent.objects.create(
        order=order, kind=Kind.CANCELLED, at=NOW, data={"reason": "expired"}, reconstructed=True
    )
    page = staff.get(reverse("admin:ledger_order_change", args=[order.pk])).content.decode()
    assert "経過（※ 注文の記録から復元）" in page
    assert "注文をキャンセルしました（期限内に支払いなし）。 ※" in page
