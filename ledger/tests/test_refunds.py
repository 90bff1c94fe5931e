"""Refunds: full, of pieces and of amounts, before and after shipment, and each sent once."""

import json
import secrets
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from kikaku.money import STANDARD
from kikaku.sandbox import Request, Response, Sandbox
from ledger.books.accounts import OUTPUT_TAX_ACCOUNTS, PREPAYMENTS, REFUNDS_PAYABLE
from ledger.books.trial_balance import account_balances, net_balance
from ledger.closing import checks
from ledger.ingest import inbox
from ledger.ingest.events import PaymentNotYetKnown
from ledger.models import (
    Discrepancy,
    OutgoingMail,
    Refund,
    StockItem,
    StockMovement,
    StripeEvent,
)
from ledger.models.orders import OrderStatus
from ledger.sales import refund_requests, refunds
from ledger.stripe import client as stripe_client
from ledger.testing import build
from ledger.testing.closing import MONDAY, TUESDAY, at, set_clock
from ledger.testing.threads import run_in_threads

FAILS_LATER = "4000000000005126"
PENDING_FIRST = "4000000000007726"


def refunds_at_stripe(order_refund: Refund) -> int:
    """Return how much of the payment (JPY) was refunded at Stripe."""
    now = timezone.now()
    return sum(
        refund["amount"]
        for refund in stripe_client.list_refunds(now - timedelta(days=1), now + timedelta(days=1))
        if refund["payment_intent"] == order_refund.payment.payment_intent
    )


@pytest.mark.django_db
def test_an_amount_of_a_shipped_order_is_refunded(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    build.ship(order)
    refund = build.refund(order, 3_000, reason="傷")
    assert (refund.status, refund.amount, refund.reason) == (Refund.Status.SUCCEEDED, 3_000, "傷")
    assert [(line.tax_class, line.recognised) for line in refund.lines.all()] == [(STANDARD, 3_000)]
    assert order.status == OrderStatus.SHIPPED
    assert order.mails.get(kind=OutgoingMail.Kind.REFUNDED).subject
    build.deliver(sandbox)
    assert order.refunds.count() == 1


@pytest.mark.django_db
def test_cancelled_pieces_are_released(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox, [build.line(price=1_000, quantity=4, on_hand=4)])
    line = order.lines.get()
    build.ship(order, {line.pk: 1})
    refund = build.refund(order, cancel={line.pk: 2})
    line.refresh_from_db()
    assert (line.reserved, line.shipped, line.cancelled, line.returned) == (1, 1, 2, 0)
    item = StockItem.objects.get()
    assert (item.on_hand, item.reserved) == (3, 1)
    assert refund.amount == 2_000
    assert order.status == OrderStatus.PARTIALLY_SHIPPED


@pytest.mark.django_db
@pytest.mark.parametrize("restock", [True, False])
def test_shipped_pieces_return_to_stock_on_request(sandbox: Sandbox, restock: bool) -> None:
    order = build.paid_order(sandbox, [build.line(quantity=2, on_hand=2)])
    build.ship(order)
    line = order.lines.get()
    build.refund(order, returns={line.pk: 1}, restock=restock)
    line.refresh_from_db()
    assert line.returned == 1
    assert StockItem.objects.get().on_hand == (1 if restock else 0)
    returns = StockMovement.objects.filter(kind=StockMovement.Kind.RETURN)
    assert [movement.quantity for movement in returns] == ([1] if restock else [])


@pytest.mark.django_db
def test_items_return_to_stock_in_the_order_of_their_ids(sandbox: Sandbox) -> None:
    """An order locks its items in this order; a refund that locked them in another could deadlock with it."""
    first, second = build.item("FIRST", 5), build.item("SECOND", 5)
    order = build.paid_order(sandbox, [build.line(second.sku), build.line(first.sku)])
    build.ship(order)
    build.refund(order, returns={line.pk: 1 for line in order.lines.all()}, restock=True)
    returns = StockMovement.objects.filter(kind=StockMovement.Kind.RETURN).order_by("pk")
    assert [movement.item_id for movement in returns] == [first.pk, second.pk]


@pytest.mark.django_db
def test_refunding_the_last_unshipped_pieces_completes_the_order(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox, [build.line(quantity=2)])
    build.fetch(sandbox)
    line = order.lines.get()
    build.ship(order, {line.pk: 1})
    build.refund(order, cancel={line.pk: 1})
    assert order.status == OrderStatus.SHIPPED
    build.fetch(sandbox)
    assert net_balance(PREPAYMENTS, order=order) == 0


@pytest.mark.django_db
def test_a_full_refund_before_shipment_cancels_the_order(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox, [build.line(quantity=2, on_hand=2)])
    refund = build.refund(order)
    assert refund.amount == order.total
    assert order.status == OrderStatus.CANCELLED
    item = StockItem.objects.get()
    assert (item.on_hand, item.reserved) == (2, 0)
    build.fetch(sandbox)
    assert net_balance(PREPAYMENTS, order=order) == 0


@pytest.mark.django_db
def test_the_shipping_fee_cannot_be_kept_when_nothing_is_left_to_ship(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    line = order.lines.get()
    with pytest.raises(refunds.RefundRefused):
        build.refund(order, cancel={line.pk: 1})
    assert not Refund.objects.exists()
    build.refund(order, cancel={line.pk: 1}, include_shipping=True)
    assert order.status == OrderStatus.CANCELLED


@pytest.mark.django_db
def test_a_refund_of_more_than_is_left_is_refused_and_changes_nothing(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    build.refund(order, 11_000)
    for amount in (501, 0, -5):
        with pytest.raises(refunds.RefundRefused):
            build.refund(order, amount)
    line = order.lines.get()
    for pieces in ({line.pk: 2}, {line.pk: -1}, {line.pk + 99: 1}):
        with pytest.raises(refunds.RefundRefused):
            build.refund(order, cancel=pieces)
    assert order.refunds.count() == 1
    with pytest.raises(refunds.RefundRefused):
        build.refund(build.order())  # not paid


@pytest.mark.django_db
def test_a_repeated_form_refunds_once(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    first, second = build.refund(order, 1_000, nonce="same"), build.refund(order, 1_000, nonce="same")
    assert first == second
    assert refunds_at_stripe(first) == 1_000


@pytest.mark.django_db(transaction=True)
def test_a_concurrently_repeated_form_refunds_once(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    made = run_in_threads(*[lambda: build.refund(order, 1_000, nonce="same")] * 3)
    assert len({refund.pk for refund in made if isinstance(refund, Refund)}) == 1, made
    assert all(isinstance(refund, Refund) for refund in made), made
    refund = Refund.objects.get()
    assert refund.status == Refund.Status.SUCCEEDED
    assert refunds_at_stripe(refund) == 1_000
    assert order.mails.filter(kind=OutgoingMail.Kind.REFUNDED).count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_users_cannot_refund_more_than_was_paid(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    made = run_in_threads(*[lambda: build.refund(order, 8_000)] * 2)
    assert sum(isinstance(result, Refund) for result in made) == 1, made
    assert sum(isinstance(result, refunds.RefundRefused) for result in made) == 1, made


@pytest.mark.django_db
def test_a_refund_requested_while_stripe_is_down_is_sent_once_by_the_job(
    sandbox: Sandbox, settings: Settings
) -> None:
    order = build.paid_order(sandbox)
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    refund = build.refund(order, 1_000)
    assert (refund.status, refund.stripe_id) == (Refund.Status.REQUESTED, None)
    settings.STRIPE_API_BASE = ""
    assert refunds.send_requested(now=timezone.now()) == {}  # its own request may still be sending it
    later = timezone.now() + timedelta(minutes=5)
    assert refunds.send_requested(now=later) == {refunds.Sending.ACCEPTED: 1}
    assert refunds.send_requested(now=later) == {}
    refund.refresh_from_db()
    assert refund.status == Refund.Status.SUCCEEDED
    assert refunds_at_stripe(refund) == 1_000


@pytest.mark.django_db
def test_a_refund_whose_answer_was_lost_is_found_after_its_idempotency_key_has_expired(
    sandbox: Sandbox,
) -> None:
    order = build.paid_order(sandbox)
    refund = build.refund(order, 1_000)
    Refund.objects.update(status=Refund.Status.REQUESTED, stripe_id=None)
    moment = build.now_of(sandbox) + timedelta(days=3)
    sandbox.clock = moment.timestamp
    assert refunds.send_requested(now=moment) == {refunds.Sending.ACCEPTED: 1}
    refund.refresh_from_db()
    assert refund.status == Refund.Status.SUCCEEDED
    sandbox.clock = (moment - timedelta(days=3)).timestamp
    assert refunds_at_stripe(refund) == 1_000


@pytest.mark.django_db
def test_a_refund_event_that_arrives_before_the_answer_finds_the_row(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)

    def deliver_first(request: Request, response: Response) -> None:
        if request.target == "/v1/refunds":
            sandbox.observer = None
            build.deliver(sandbox)

    sandbox.observer = deliver_first
    refund = build.refund(order, 1_000)
    assert order.refunds.count() == 1
    assert refund.status == Refund.Status.SUCCEEDED
    assert order.mails.filter(kind=OutgoingMail.Kind.REFUNDED).count() == 1


@pytest.mark.django_db
def test_a_refund_refused_by_stripe_fails_with_its_reason_and_is_owed(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    build.fetch(sandbox)
    # everything was refunded in Stripe's dashboard, and the event has not arrived
    payment = order.payments.get()
    stripe_client.client().v1.refunds.create({"payment_intent": payment.payment_intent})
    refund = build.refund(order, 1_000)
    assert refund.status == Refund.Status.FAILED
    assert refund.failure_reason
    assert Discrepancy.objects.get(kind=Discrepancy.Kind.REFUND_FAILED).amount == 1_000
    assert net_balance(REFUNDS_PAYABLE, order=order) == -1_000


@pytest.mark.django_db
def test_a_pending_refund_that_fails_later_is_owed_and_can_be_requested_again(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox, card=FAILS_LATER)
    build.ship(order)
    refund = build.refund(order, 2_000)
    build.deliver(sandbox)
    moment = build.now_of(sandbox) + timedelta(days=10)
    sandbox.clock = moment.timestamp
    build.deliver(sandbox)
    refund.refresh_from_db()
    assert refund.status == Refund.Status.FAILED
    assert refund_requests.refundable_amount(order.payments.get()) == order.total
    assert Discrepancy.objects.get().kind == Discrepancy.Kind.REFUND_FAILED
    build.fetch(sandbox)
    assert net_balance(REFUNDS_PAYABLE, order=order) == -2_000
    # a new request takes what is owed first
    again = build.refund(order, 2_000, now=moment)
    assert [(line.payable, line.recognised) for line in again.lines.all()] == [(2_000, 0)]


@pytest.mark.django_db
def test_the_mail_about_a_pending_refund_is_queued_when_it_succeeds(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox, card=PENDING_FIRST)
    refund = build.refund(order, 2_000)
    assert refund.status == Refund.Status.PENDING
    assert not order.mails.filter(kind=OutgoingMail.Kind.REFUNDED).exists()
    moment = build.now_of(sandbox) + timedelta(days=10)
    sandbox.clock = moment.timestamp
    build.deliver(sandbox)
    refund.refresh_from_db()
    assert refund.status == Refund.Status.SUCCEEDED
    assert order.mails.filter(kind=OutgoingMail.Kind.REFUNDED).count() == 1


@pytest.mark.django_db
def test_a_late_report_never_moves_a_failed_refund_back(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox, card=FAILS_LATER)
    refund = build.refund(order, 2_000)
    moment = build.now_of(sandbox) + timedelta(days=10)
    sandbox.clock = moment.timestamp
    bodies = [json.loads(delivery.body) for delivery in sandbox.pending_deliveries()]
    reports = [body for body in bodies if body["type"].startswith("refund.")]
    assert len(reports) >= 2
    for body in [*reversed(reports), *reports]:
        event = StripeEvent.objects.create(
            pk=f"evt_{secrets.token_hex(8)}",
            type=body["type"],
            created=moment,
            payload=body,
            received_at=moment,
        )
        inbox.process(event.pk, now=moment)
    refund.refresh_from_db()
    assert refund.status == Refund.Status.FAILED
    assert Discrepancy.objects.count() == 1


@pytest.mark.django_db
def test_a_refund_made_in_stripes_dashboard_gets_a_row_and_an_entry(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    build.fetch(sandbox)
    payment = order.payments.get()
    for amount in (1_500, 500):
        stripe_client.client().v1.refunds.create({"payment_intent": payment.payment_intent, "amount": amount})
    build.deliver(sandbox)
    build.deliver(sandbox)
    assert sorted(order.refunds.values_list("amount", "status")) == [(500, "succeeded"), (1_500, "succeeded")]
    assert refund_requests.refundable_amount(payment) == 9_500
    build.fetch(sandbox)
    assert net_balance(PREPAYMENTS, order=order) == -9_500
    assert not Discrepancy.objects.exists()


@pytest.mark.django_db
def test_a_refund_event_before_its_payment_is_retried_and_later_noted_as_foreign(
    sandbox: Sandbox,
) -> None:
    order = build.order()
    sandbox.pay(build.session_of(order))
    paid = sandbox.pending_deliveries()
    intent = next(
        json.loads(delivery.body)["data"]["object"]["id"]
        for delivery in paid
        if json.loads(delivery.body)["type"] == "payment_intent.succeeded"
    )
    stripe_client.client().v1.refunds.create({"payment_intent": intent, "amount": 700})
    for delivery in sorted(sandbox.pending_deliveries(), key=lambda one: b'"refund.' not in one.body):
        event = inbox.receive(delivery.body, delivery.headers["Stripe-Signature"], now=timezone.now())
        if event.type.startswith("refund."):
            with pytest.raises(PaymentNotYetKnown):
                inbox.process(event.pk, now=timezone.now())
    assert not Discrepancy.objects.exists()
    waiting = StripeEvent.objects.filter(type__startswith="refund.").first()
    assert waiting is not None
    foreign = StripeEvent.objects.create(
        pk="evt_foreign",
        type=waiting.type,
        created=waiting.created,
        payload=waiting.payload,
        received_at=waiting.created,
    )
    assert inbox.process(foreign.pk, now=timezone.now() + timedelta(hours=2))
    assert Discrepancy.objects.get().kind == Discrepancy.Kind.MISSING_IN_BOOKS
    inbox.process_pending(now=timezone.now() + timedelta(minutes=2))
    inbox.process_pending(now=timezone.now() + timedelta(minutes=10))
    assert order.refunds.get().amount == 700


@pytest.mark.django_db
@pytest.mark.parametrize("posted", [True, False])
def test_a_dashboard_refund_of_reserved_money_is_owed_only_once(
    sandbox: Sandbox, settings: Settings, posted: bool
) -> None:
    order = build.paid_order(sandbox)  # ¥11,500
    build.fetch(sandbox)
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    ours = build.refund(order, 11_000)  # Stripe is down: it waits
    assert ours.status == Refund.Status.REQUESTED
    settings.STRIPE_API_BASE = ""
    stripe_client.client().v1.refunds.create({"payment_intent": ours.payment.payment_intent, "amount": 700})
    build.deliver(sandbox)
    if posted:
        build.fetch(sandbox)
    refunds.send_requested(now=timezone.now() + timedelta(minutes=3))
    build.fetch(sandbox)
    ours.refresh_from_db()
    assert ours.status == Refund.Status.FAILED  # 10,800 are left at Stripe
    assert -net_balance(REFUNDS_PAYABLE) == 11_000 - 700
    assert -net_balance(PREPAYMENTS) == 500
    assert list(checks.check_everything()) == []

    rest = build.refund(order)
    build.fetch(sandbox)
    assert (rest.amount, rest.status) == (10_800, Refund.Status.SUCCEEDED)
    assert net_balance(REFUNDS_PAYABLE) == net_balance(PREPAYMENTS) == 0
    assert list(checks.check_everything()) == []


@pytest.mark.django_db
@pytest.mark.parametrize("more", [0, 300])
def test_a_dashboard_refund_beyond_the_reserved_money_takes_the_rest_from_sales(
    sandbox: Sandbox, settings: Settings, more: int
) -> None:
    order = build.paid_order(sandbox)  # ¥11,000 and ¥500 for shipping
    build.ship(order)
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    build.refund(order, returns={order.lines.get().pk: 1})  # ¥11,000, not sent
    settings.STRIPE_API_BASE = ""
    for amount in filter(None, (11_500 - more, more)):
        stripe_client.client().v1.refunds.create(
            {"payment_intent": order.payments.get().payment_intent, "amount": amount}
        )
    build.deliver(sandbox)
    refunds.send_requested(now=timezone.now() + timedelta(minutes=3))  # refused: nothing is left
    build.fetch(sandbox)
    assert list(checks.check_everything()) == []
    assert net_balance(REFUNDS_PAYABLE) == net_balance(PREPAYMENTS) == 0
    assert net_balance(OUTPUT_TAX_ACCOUNTS[STANDARD]) == 0


@pytest.mark.django_db
@pytest.mark.parametrize("shipped", [False, True])
def test_a_day_whose_overdrawn_refund_is_settled_later_has_no_findings(
    sandbox: Sandbox, settings: Settings, shipped: bool
) -> None:
    now = set_clock(sandbox, at(MONDAY, 10))
    order = build.paid_order(sandbox, now=now)
    if shipped:
        build.ship(order, now=now)
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    ours = build.refund(order, 11_000, now=now)
    settings.STRIPE_API_BASE = ""
    stripe_client.client().v1.refunds.create({"payment_intent": ours.payment.payment_intent, "amount": 700})
    build.deliver(sandbox)
    refunds.send_requested(now=set_clock(sandbox, at(TUESDAY, 10)))  # refused: only 10,800 are left
    build.fetch(sandbox)
    assert not [finding for finding in checks.check_day(TUESDAY, account_balances(TUESDAY))]
    assert not [finding for finding in checks.check_day(MONDAY, account_balances(MONDAY))]
    assert -net_balance(PREPAYMENTS, until=MONDAY) == (-700 if shipped else 10_800)
    assert -net_balance(PREPAYMENTS) == (0 if shipped else 500)
