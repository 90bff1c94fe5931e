"""Konbini: a voucher is paid in a store days later, or expires, or is paid after the order was cancelled."""

import json
import secrets
from collections.abc import Iterator
from datetime import timedelta
from itertools import permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kikaku.sandbox import Delivery, Sandbox
from kikaku.testing.database import examples
from ledger.books.accounts import FEES_TAXABLE, INPUT_TAX, PREPAYMENTS, REFUNDS_PAYABLE, STRIPE_BALANCE
from ledger.books.trial_balance import net_balance
from ledger.models import CheckoutAttempt, Discrepancy, OutgoingMail, Refund, StockItem
from ledger.models.orders import OrderStatus
from ledger.sales import checkout, mail, refunds
from ledger.stripe import client as stripe_client
from ledger.stripe.methods import find_voucher
from ledger.testing import build
from ledger.testing.closing import MONDAY, TUESDAY, at, set_clock
from ledger.testing.konbini import (
    DEADLINE,
    assert_no_findings,
    attempt_of,
    cancel,
    handle,
    lose_events,
    order_with_voucher,
    pay,
    shuffled,
)

DECLINED = "4000000000000002"


# ── The voucher ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("total", "methods"),
    [(119, ["card"]), (120, ["card", "konbini"]), (300_000, ["card", "konbini"]), (300_001, ["card"])],
)
def test_konbini_is_offered_from_120_to_300_000_yen(sandbox: Sandbox, total: int, methods: list[str]) -> None:
    order = build.order([build.line(price=total)], shipping_fee=0)
    session = stripe_client.retrieve_session(build.session_of(order))
    assert session["payment_method_types"] == methods


@pytest.mark.django_db
def test_a_voucher_lets_the_order_wait_with_its_stock_and_is_mailed_once(sandbox: Sandbox) -> None:
    order = order_with_voucher(sandbox)
    attempt = attempt_of(order)
    assert (order.status, attempt.status) == (OrderStatus.PENDING, CheckoutAttempt.Status.WAITING)
    assert attempt.voucher_expires_at == DEADLINE
    assert attempt.voucher_url.startswith("http")
    assert StockItem.objects.get().reserved == 1
    assert not order.payments.exists()
    mail = order.mails.get()
    assert mail.kind == OutgoingMail.Kind.VOUCHER
    assert "11月19日（木）23:59" in mail.text
    assert "¥11,500" in mail.text
    assert "ファミリーマート" in mail.text
    for codes in attempt.voucher_codes.values():
        assert codes["payment_code"] in mail.text
        assert codes["confirmation_number"] in mail.html
    assert attempt.voucher_url in mail.text


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://payments.stripe.com/konbini/voucher/test_1", True),
        ("https://payments.stripe.com.evil.example/voucher", False),
        ("https://evilstripe.com/voucher", False),
        ("https://payments.stripe.com@evil.example/voucher", False),
        ("http://payments.stripe.com/voucher", False),
        ("javascript:alert(1)//.stripe.com", False),
        ("https://[", False),
        ("", False),
    ],
)
def test_only_addresses_of_stripe_are_shown_to_customers(url: str, kept: bool) -> None:
    details = {"hosted_voucher_url": url, "expires_at": 1_800_000_000, "stores": {}}
    voucher = find_voucher({"next_action": {"konbini_display_details": details}})
    assert voucher is not None
    assert voucher.url == (url if kept else "")


def orders_of_two_events() -> Iterator[list[int]]:
    for order in permutations(range(2)):
        yield list(order)
        yield [*order, *order]


@pytest.mark.django_db
@pytest.mark.parametrize("order_of_events", list(orders_of_two_events()), ids=str)
def test_the_two_events_of_a_voucher_may_come_in_any_order_and_twice(
    sandbox: Sandbox, order_of_events: list[int]
) -> None:
    order = build.order()
    sandbox.choose_konbini(build.session_of(order))
    deliveries = sandbox.pending_deliveries()
    voucher_events = [
        delivery
        for delivery in deliveries
        if kind(delivery) in ("payment_intent.requires_action", "checkout.session.completed")
    ]
    assert len(voucher_events) == 2
    for number in order_of_events:
        handle(voucher_events[number], build.now_of(sandbox))
    attempt = attempt_of(order)
    assert attempt.status == CheckoutAttempt.Status.WAITING
    assert len(attempt.voucher_codes) == 4
    assert order.mails.count() == 1


def kind(delivery: Delivery) -> str:
    return str(json.loads(delivery.body)["type"])


@pytest.mark.django_db
def test_no_second_payment_page_opens_while_a_voucher_is_valid(sandbox: Sandbox) -> None:
    order = order_with_voucher(sandbox)
    for later in (timedelta(minutes=1), timedelta(hours=2)):
        with pytest.raises(checkout.NotPayable):
            checkout.start_payment(order, now=at(MONDAY) + later)
    assert order.attempts.count() == 1


@pytest.mark.django_db
def test_time_alone_releases_nothing(sandbox: Sandbox) -> None:
    order = order_with_voucher(sandbox)
    for now in (at(MONDAY, 14), at(TUESDAY), DEADLINE, DEADLINE + timedelta(minutes=5)):
        set_clock(sandbox, now)
        assert checkout.expire_due(now=now) == 0
    order.refresh_from_db()
    assert order.status == OrderStatus.PENDING
    assert StockItem.objects.get().reserved == 1


# ── Paid, or not ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.django_db
def test_the_order_is_paid_when_its_voucher_is_paid(sandbox: Sandbox) -> None:
    order = order_with_voucher(sandbox)
    pay(sandbox, order, at(TUESDAY, 9))
    payment = order.payments.get()
    assert order.status == OrderStatus.PAID
    assert (payment.method, payment.means) == ("konbini", "コンビニ")
    assert order.paid_at == at(TUESDAY, 9) == payment.captured_at
    assert attempt_of(order).status == CheckoutAttempt.Status.COMPLETE
    kinds = list(order.mails.order_by("pk").values_list("kind", flat=True))
    assert kinds == [OutgoingMail.Kind.VOUCHER, OutgoingMail.Kind.ORDER_CONFIRMATION]
    build.fetch(sandbox)
    assert_no_findings()


@pytest.mark.django_db
def test_the_fee_of_a_konbini_payment_is_taxable(sandbox: Sandbox) -> None:
    order = order_with_voucher(sandbox)
    pay(sandbox, order, at(TUESDAY, 9))
    build.fetch(sandbox)
    txn_fee = net_balance(FEES_TAXABLE) + net_balance(INPUT_TAX)
    assert net_balance(INPUT_TAX) == net_balance(FEES_TAXABLE) // 10 > 0
    assert net_balance(STRIPE_BALANCE) == order.total - txn_fee


@pytest.mark.django_db
def test_a_payment_reported_after_the_deadline_still_counts(sandbox: Sandbox) -> None:
    order = order_with_voucher(sandbox)
    pay(sandbox, order, DEADLINE - timedelta(minutes=1), deliver=False)
    set_clock(sandbox, DEADLINE + timedelta(hours=5))
    build.deliver(sandbox)
    order.refresh_from_db()
    assert order.status == OrderStatus.PAID
    assert not Discrepancy.objects.exists()


@pytest.mark.django_db
def test_a_voucher_that_expires_ends_the_order_and_releases_its_stock_once(sandbox: Sandbox) -> None:
    order = order_with_voucher(sandbox)
    set_clock(sandbox, DEADLINE + timedelta(hours=1))
    sandbox.expire_due()
    build.deliver(sandbox)
    build.deliver(sandbox)
    order.refresh_from_db()
    assert (order.status, order.cancel_reason) == (OrderStatus.CANCELLED, "expired")
    assert attempt_of(order).status == CheckoutAttempt.Status.EXPIRED
    item = StockItem.objects.get()
    assert (item.on_hand, item.reserved) == (100, 0)
    mail = order.mails.get(kind=OutgoingMail.Kind.VOUCHER_EXPIRED)
    assert f"/orders/{order.token}/" in mail.text
    assert "もう一度カートに入れ" in mail.text
    assert_no_findings()


@pytest.mark.django_db
def test_a_declined_card_does_not_end_the_order_even_when_its_event_comes_after_the_voucher(
    sandbox: Sandbox,
) -> None:
    order = build.order(now=set_clock(sandbox, at(MONDAY)))
    session = build.session_of(order, now=at(MONDAY))
    sandbox.pay(session, card=DECLINED)
    late = [one for one in sandbox.pending_deliveries() if kind(one) == "payment_intent.payment_failed"]
    sandbox.choose_konbini(session)
    for delivery in sandbox.pending_deliveries():
        if kind(delivery) != "payment_intent.payment_failed":
            handle(delivery, at(MONDAY))
    assert late
    for delivery in late:
        handle(delivery, at(MONDAY))
    order.refresh_from_db()
    assert (order.status, attempt_of(order).status) == (OrderStatus.PENDING, CheckoutAttempt.Status.WAITING)
    pay(sandbox, order, at(TUESDAY))
    assert order.status == OrderStatus.PAID


# ── Lost events ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.django_db
def test_a_voucher_whose_expiry_event_is_lost_ends_by_asking_stripe_after_the_grace_period(
    sandbox: Sandbox,
) -> None:
    order = order_with_voucher(sandbox)
    now = set_clock(sandbox, DEADLINE + timedelta(minutes=30))
    sandbox.expire_due()
    lose_events(sandbox)
    assert checkout.expire_due(now=now) == 0
    now = set_clock(sandbox, DEADLINE + timedelta(hours=2))
    assert checkout.expire_due(now=now) == 1
    assert checkout.expire_due(now=now) == 0
    order.refresh_from_db()
    assert order.status == OrderStatus.CANCELLED
    assert order.mails.filter(kind=OutgoingMail.Kind.VOUCHER_EXPIRED).count() == 1


@pytest.mark.django_db
def test_a_payment_whose_event_is_lost_is_found_by_asking_stripe(sandbox: Sandbox) -> None:
    order = order_with_voucher(sandbox)
    pay(sandbox, order, at(TUESDAY), deliver=False)
    lose_events(sandbox)
    checkout.expire_due(now=set_clock(sandbox, DEADLINE + timedelta(hours=2)))
    order.refresh_from_db()
    assert order.status == OrderStatus.PAID


@pytest.mark.django_db
def test_a_voucher_whose_events_are_lost_is_stored_by_the_job(sandbox: Sandbox) -> None:
    order = build.order(now=set_clock(sandbox, at(MONDAY)))
    sandbox.choose_konbini(build.session_of(order, now=at(MONDAY)))
    lose_events(sandbox)
    assert checkout.expire_due(now=set_clock(sandbox, at(MONDAY, 13))) == 0
    assert attempt_of(order).voucher_expires_at == DEADLINE
    assert order.mails.get().kind == OutgoingMail.Kind.VOUCHER


@pytest.mark.django_db
def test_the_job_does_not_ask_stripe_about_a_valid_voucher(sandbox: Sandbox) -> None:
    order_with_voucher(sandbox)
    requests: list[str] = []
    observer = sandbox.observer
    sandbox.observer = lambda request, _response: requests.append(request.target)
    checkout.expire_due(now=at(TUESDAY))
    sandbox.observer = observer
    assert requests == []


# ── Cancelled while the voucher is valid ─────────────────────────────────────────────────────────────────


@pytest.mark.django_db
def test_cancelling_releases_the_stock_at_once_and_mails_not_to_pay(sandbox: Sandbox) -> None:
    order = order_with_voucher(sandbox)
    cancel(order, at(MONDAY, 15))
    assert order.status == OrderStatus.CANCELLED
    assert StockItem.objects.get().reserved == 0
    assert attempt_of(order).status == CheckoutAttempt.Status.WAITING
    assert "お支払いは行わないよう" in order.mails.get(kind=OutgoingMail.Kind.CANCELLED).text
    set_clock(sandbox, DEADLINE + timedelta(hours=1))
    sandbox.expire_due()
    build.deliver(sandbox)
    order.refresh_from_db()
    assert attempt_of(order).status == CheckoutAttempt.Status.EXPIRED
    assert order.cancel_reason == "staff"
    assert not order.mails.filter(kind=OutgoingMail.Kind.VOUCHER_EXPIRED).exists()
    assert not Discrepancy.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("delivered", [True, False], ids=["events delivered", "events lost"])
def test_a_payment_after_the_cancellation_is_refunded(sandbox: Sandbox, delivered: bool) -> None:
    order = order_with_voucher(sandbox)
    cancel(order, at(MONDAY, 15))
    pay(sandbox, order, at(TUESDAY), deliver=delivered)
    now = set_clock(sandbox, DEADLINE + timedelta(hours=2))
    if not delivered:
        lose_events(sandbox)
        checkout.expire_due(now=now)
    order.refresh_from_db()
    assert order.status == OrderStatus.CANCELLED
    assert StockItem.objects.get().reserved == 0
    noted = Discrepancy.objects.get()
    assert (noted.kind, noted.amount) == (Discrepancy.Kind.PAID_AFTER_CANCELLATION, order.total)
    build.fetch(sandbox)
    assert_no_findings()
    refunds.send_requested(now=now + timedelta(minutes=5))
    refund = order.refunds.get()
    assert (refund.status, refund.amount) == (Refund.Status.REQUIRES_ACTION, order.total)
    assert (net_balance(PREPAYMENTS), -net_balance(REFUNDS_PAYABLE)) == (0, order.total)
    assert_no_findings()
    sandbox.claim_refund(str(refund.stripe_id))
    now = set_clock(sandbox, now + timedelta(days=2))
    sandbox.expire_due()
    build.deliver(sandbox)
    build.fetch(sandbox)
    refund.refresh_from_db()
    assert refund.status == Refund.Status.SUCCEEDED
    assert net_balance(REFUNDS_PAYABLE) == 0
    assert_no_findings()


@pytest.mark.django_db
def test_a_voucher_issued_while_the_order_is_being_cancelled_is_refunded_too(sandbox: Sandbox) -> None:
    order = build.order(now=set_clock(sandbox, at(MONDAY)))
    sandbox.choose_konbini(build.session_of(order, now=at(MONDAY)))  # its events are not delivered yet
    cancel(order, at(MONDAY))
    build.deliver(sandbox)
    mail.send_due(now=at(MONDAY))
    assert [kind for kind in order.mails.values_list("kind", flat=True)] == [OutgoingMail.Kind.CANCELLED]
    assert "お支払いは行わないよう" in order.mails.get(kind=OutgoingMail.Kind.CANCELLED).text
    pay(sandbox, order, at(TUESDAY))
    assert order.status == OrderStatus.CANCELLED
    assert order.refunds.get().amount == order.total


# ── Any order of events ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.django_db
@settings(
    max_examples=examples(12),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(declined=st.booleans(), paid=st.booleans(), cancelled=st.booleans(), seed=st.integers(0, 9_999))
def test_events_in_any_order_and_repeated_lead_to_the_same_state(
    sandbox: Sandbox, declined: bool, paid: bool, cancelled: bool, seed: int
) -> None:
    lose_events(sandbox)  # of the example before
    now = set_clock(sandbox, at(MONDAY))
    sku = f"CL-{secrets.token_hex(3)}"
    # of an address of its own: an address that may be a stranger's gets few mails a day
    order = build.order([build.line(sku)], email=f"{sku}@example.jp".lower(), now=now)
    session = build.session_of(order, now=now)
    if declined:
        sandbox.pay(session, card=DECLINED)
    sandbox.choose_konbini(session)
    if cancelled:
        cancel(order, now)
    if paid:
        sandbox.pay_voucher(session)
    else:
        sandbox.expire_voucher(session)
    for delivery in shuffled(sandbox.pending_deliveries(), seed):
        handle(delivery, now)
    order.refresh_from_db()
    assert attempt_of(order).status == ("complete" if paid else "expired")
    assert order.payments.count() == paid
    assert order.refunds.count() == (paid and cancelled)
    assert order.status == (OrderStatus.PAID if paid and not cancelled else OrderStatus.CANCELLED)
    item = StockItem.objects.get(sku=sku)
    assert (item.on_hand, item.reserved) == (100, 1 if order.status == OrderStatus.PAID else 0)
    expired_mails = order.mails.filter(kind=OutgoingMail.Kind.VOUCHER_EXPIRED).count()
    assert expired_mails == (not paid and not cancelled)
    assert not order.attempts.payable().exists()
