"""Pages that are complete at Stripe: asked about when the event is lost; only an unpaid one is a voucher."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kikaku.sandbox import Sandbox
from kikaku.sandbox.events import record_event
from ledger.admin.advice import advice
from ledger.ingest import balance
from ledger.models import CheckoutAttempt, Discrepancy, Order, OutgoingMail
from ledger.models.orders import OrderStatus
from ledger.sales import checkout, confirmation
from ledger.stripe import methods
from ledger.testing import build
from ledger.testing.closing import set_clock
from ledger.testing.konbini import lose_events

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
Status = CheckoutAttempt.Status


@pytest.fixture
def order(sandbox: Sandbox) -> Order:
    """Return an order whose payment page is open."""
    set_clock(sandbox, NOW)
    placed = build.order(now=NOW)
    build.session_of(placed, now=NOW)
    return placed


def session_of(order: Order) -> str:
    return str(order.attempts.get().session_id)


def calls(sandbox: Sandbox) -> list[str]:
    """Watch the requests to Stripe from now on."""
    seen: list[str] = []
    handle = sandbox.handle

    def watch(request: Any) -> Any:
        seen.append(request.target)
        return handle(request)

    sandbox.handle = watch  # type: ignore[method-assign]
    return seen


def complete(sandbox: Sandbox, order: Order, payment_status: str) -> None:
    """Complete the order's page at Stripe without a PaymentIntent."""
    with sandbox._transaction(write=True) as tx:
        changes = {"status": "complete", "payment_status": payment_status, "payment_intent": None}
        session = {**tx.load("checkout.session", session_of(order)), **changes, "url": None}
        tx.save(session)
        tx.unschedule(session["id"])
        record_event(tx, "checkout.session.completed", session)


# ── The event is lost ────────────────────────────────────────────────────────────────────────────────────


def test_a_paid_page_whose_event_is_lost_is_found_by_asking_stripe_once(
    sandbox: Sandbox, order: Order
) -> None:
    sandbox.pay(session_of(order))
    lose_events(sandbox)
    seen = calls(sandbox)
    assert confirmation.ask_once(order, now=NOW)
    order.refresh_from_db()
    assert order.status == OrderStatus.PAID
    assert order.mails.filter(kind=OutgoingMail.Kind.ORDER_CONFIRMATION).count() == 1
    assert len(seen) == 1


def test_a_page_is_asked_about_once_however_often_it_is_looked_at(sandbox: Sandbox, order: Order) -> None:
    seen = calls(sandbox)
    assert [confirmation.ask_once(order, now=NOW) for _look in range(5)] == [True, False, False, False, False]
    assert len(seen) == 1
    assert order.attempts.get().status == Status.OPEN  # it was open, and stays so


def test_a_voucher_whose_events_are_lost_is_found_too(sandbox: Sandbox, order: Order) -> None:
    sandbox.choose_konbini(session_of(order))
    lose_events(sandbox)
    confirmation.ask_once(order, now=NOW)
    attempt = order.attempts.get()
    assert attempt.status == Status.WAITING and attempt.voucher_expires_at
    assert order.mails.get().kind == OutgoingMail.Kind.VOUCHER


def test_the_balance_job_records_a_payment_whose_events_are_lost(sandbox: Sandbox, order: Order) -> None:
    sandbox.pay(session_of(order))
    lose_events(sandbox)
    minutes = timedelta(minutes=1)
    assert balance.fetch_new(now=set_clock(sandbox, NOW + minutes)).waiting  # its event may be on its way
    assert not balance.fetch_new(now=set_clock(sandbox, NOW + 6 * minutes)).waiting
    order.refresh_from_db()
    assert order.status == OrderStatus.PAID
    assert not Discrepancy.objects.exists()


# ── Complete without a payment ───────────────────────────────────────────────────────────────────────────


def test_a_paid_page_that_names_no_payment_is_no_voucher_and_asks_a_person(
    sandbox: Sandbox, order: Order
) -> None:
    complete(sandbox, order, "paid")
    build.deliver(sandbox, now=NOW)
    assert order.attempts.get().status == Status.COMPLETE
    row = Discrepancy.objects.get()
    assert (row.kind, row.category, row.object_id, row.amount) == (
        Discrepancy.Kind.PAYMENT_MISSING,
        "to_do",
        order.number,
        -11_500,
    )
    assert not order.mails.exists()
    with pytest.raises(checkout.NotPayable):  # it may be paid: no second page
        checkout.start_payment(order, now=NOW)
    assert order.number in advice(row)
    order.refresh_from_db()
    assert order.status == OrderStatus.PENDING  # nothing is released: the money may be there


def test_a_payment_that_stripe_names_later_pays_the_order_and_ends_the_task(
    sandbox: Sandbox, order: Order
) -> None:
    sandbox.pay(session_of(order))
    events = {json.loads(one.body)["type"]: json.loads(one.body) for one in sandbox.pending_deliveries()}
    session = events["checkout.session.completed"]["data"]["object"] | {"payment_intent": None}
    attempt = order.attempts.get()
    checkout.store_completed_session(attempt, session, now=NOW)
    assert Discrepancy.objects.unresolved().count() == 1
    build.deliver(sandbox, now=NOW)
    order.refresh_from_db()
    assert order.status == OrderStatus.PAID
    assert not Discrepancy.objects.unresolved().exists()


def test_nobody_is_asked_about_a_silent_page_of_a_paid_order(sandbox: Sandbox, order: Order) -> None:
    sandbox.pay(session_of(order))
    build.deliver(sandbox, now=NOW)
    attempt = order.attempts.get()
    silent = {"id": "cs_test_other", "payment_status": "paid", "payment_intent": None, "amount_total": 11_500}
    checkout.store_completed_session(attempt, silent, now=NOW)
    assert not Discrepancy.objects.exists()


def test_a_page_that_needed_no_payment_pays_nothing_and_the_order_ends_in_time(
    sandbox: Sandbox, order: Order
) -> None:
    complete(sandbox, order, "no_payment_required")
    build.deliver(sandbox, now=NOW)
    assert order.attempts.get().status == Status.EXPIRED
    assert Discrepancy.objects.get().kind == Discrepancy.Kind.PAYMENT_MISSING
    assert not order.payments.exists()
    checkout.expire_due(now=set_clock(sandbox, NOW + timedelta(minutes=40)))
    order.refresh_from_db()
    assert order.status == OrderStatus.CANCELLED


@pytest.mark.parametrize(("payment_status", "ends"), [("paid", False), ("no_payment_required", True)])
def test_the_job_that_finds_such_a_page_does_the_same(
    sandbox: Sandbox, order: Order, payment_status: str, ends: bool
) -> None:
    complete(sandbox, order, payment_status)
    lose_events(sandbox)
    checkout.expire_due(now=set_clock(sandbox, NOW + timedelta(minutes=40)))
    order.refresh_from_db()
    assert (order.status == OrderStatus.CANCELLED) is ends
    assert Discrepancy.objects.get().kind == Discrepancy.Kind.PAYMENT_MISSING


# ── The method of a voucher ──────────────────────────────────────────────────────────────────────────────


def test_a_completed_unpaid_page_names_its_method_before_the_voucher_arrives(
    sandbox: Sandbox, order: Order
) -> None:
    sandbox.choose_konbini(session_of(order))
    for delivery in sandbox.pending_deliveries():
        if json.loads(delivery.body)["type"] != "checkout.session.completed":
            sandbox.mark_delivered(delivery.event_id, 200)
    build.deliver(sandbox, now=NOW)
    attempt = order.attempts.get()
    assert (attempt.status, attempt.method, attempt.voucher_expires_at) == (Status.WAITING, "konbini", None)


@pytest.mark.parametrize(
    ("codes", "method"), [(["card"], ""), (["card", "konbini"], "konbini"), ([], ""), (["other"], "")]
)
def test_the_only_voucher_method_of_a_page_is_known(codes: list[str], method: str) -> None:
    assert methods.voucher_method_among(codes) == method
