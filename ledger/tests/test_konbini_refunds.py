"""Refunds of konbini payments: owed (account 2120) while they wait for the customer's bank account."""

from datetime import datetime, timedelta

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from kikaku.money import REDUCED, STANDARD
from kikaku.sandbox import Sandbox
from kikaku.testing.database import examples
from ledger.books import accounts
from ledger.books.accounts import (
    OUTPUT_TAX_ACCOUNTS,
    PREPAYMENTS,
    REFUNDS_PAYABLE,
    RETURNS_ACCOUNTS,
    STRIPE_BALANCE,
    SUSPENSE,
)
from ledger.books.trial_balance import net_balance
from ledger.closing import checks, daily_close, evidence
from ledger.models import Discrepancy, EvidenceFile, JournalEntry, JournalLine, Order, OutgoingMail, Refund
from ledger.models.orders import OrderStatus
from ledger.sales import refunds
from ledger.sales.refund_requests import store_refund
from ledger.sales.refunds import RefundRequest
from ledger.stripe import client as stripe_client
from ledger.testing import build
from ledger.testing.closing import MONDAY, TUESDAY, at, night_after, set_clock
from ledger.testing.konbini import (
    DEADLINE,
    assert_no_findings,
    cancel,
    handle,
    lose_events,
    order_with_voucher,
    pay,
    shuffled,
)

WAITS, FAILED = Refund.Status.REQUIRES_ACTION, Refund.Status.FAILED


def paid(sandbox: Sandbox, *, shipped: bool = False, placed: Order | None = None) -> Order:
    """Return an order of Monday whose voucher was paid on Tuesday; `shipped` on Tuesday too."""
    order = order_with_voucher(sandbox, placed=placed)
    pay(sandbox, order, at(TUESDAY, 9))
    build.fetch(sandbox)
    if shipped:
        build.ship(order, now=at(TUESDAY, 10))
    return order


def later(sandbox: Sandbox, days: float = 1) -> datetime:
    """Move Stripe's clock forward, deliver the events, fetch the balance; return the new time."""
    now = set_clock(sandbox, build.now_of(sandbox) + timedelta(days=days))
    sandbox.expire_due()
    build.deliver(sandbox)
    build.fetch(sandbox)
    return now


def state(refund: Refund) -> str:
    refund.refresh_from_db()
    return refund.status


def owed() -> int:
    return -net_balance(REFUNDS_PAYABLE)


def lines_of(entry: JournalEntry) -> dict[str, int]:
    """Return debit − credit of an entry by account."""
    lines = JournalLine.objects.filter(entry=entry)
    return {line.account_id: line.debit - line.credit for line in lines}


@pytest.mark.django_db
def test_a_refund_waits_for_the_bank_account_and_is_owed_until_its_money_moves(sandbox: Sandbox) -> None:
    order = paid(sandbox)
    before = net_balance(STRIPE_BALANCE)
    refund = build.refund(order, 1_500, now=at(TUESDAY, 11))
    assert refund.status == WAITS
    entry = JournalEntry.objects.get(source_type="refund", purpose="waiting")
    assert lines_of(entry) == {PREPAYMENTS: 1_500, REFUNDS_PAYABLE: -1_500}
    assert net_balance(STRIPE_BALANCE) == before
    assert_no_findings()
    mail = order.mails.get(kind=OutgoingMail.Kind.REFUND_WAITS)
    assert order.email in mail.text
    assert "振込先口座" in mail.text
    answer = stripe_client.retrieve_refund(str(refund.stripe_id))
    assert answer["instructions_email"] == order.email
    sandbox.claim_refund(str(refund.stripe_id))
    later(sandbox)
    assert state(refund) == Refund.Status.SUCCEEDED
    entry = JournalEntry.objects.get(source_type="balance_transaction", purpose="refund")
    assert lines_of(entry) == {REFUNDS_PAYABLE: 1_500, STRIPE_BALANCE: -1_500}
    assert owed() == 0
    assert "ご指定の銀行口座" in order.mails.get(kind=OutgoingMail.Kind.REFUNDED).text
    assert_no_findings()


@pytest.mark.django_db
def test_after_shipment_a_waiting_refund_reverses_the_sale_and_its_tax(
    sandbox: Sandbox,
) -> None:
    placed = build.worked_order(now=set_clock(sandbox, at(MONDAY)))
    order = paid(sandbox, shipped=True, placed=placed)
    build.refund(order, now=at(TUESDAY, 11))
    entry = JournalEntry.objects.get(source_type="refund", purpose="waiting")
    assert lines_of(entry) == {
        RETURNS_ACCOUNTS[STANDARD]: 10_087,
        OUTPUT_TAX_ACCOUNTS[STANDARD]: 1_008,
        RETURNS_ACCOUNTS[REDUCED]: 959,
        OUTPUT_TAX_ACCOUNTS[REDUCED]: 76,
        REFUNDS_PAYABLE: -12_130,
    }
    assert_no_findings()


@pytest.mark.django_db
def test_a_refund_without_a_bank_account_stays_owed_and_is_refunded_again(sandbox: Sandbox) -> None:
    order = paid(sandbox, shipped=True)
    first = build.refund(order, 3_000, now=at(TUESDAY, 11))
    sandbox.ignore_refund(str(first.stripe_id))
    now = later(sandbox)
    assert state(first) == FAILED
    assert owed() == 3_000
    noted = Discrepancy.objects.get()
    assert (noted.kind, noted.amount) == (Discrepancy.Kind.REFUND_FAILED, 3_000)
    assert_no_findings()
    second = build.refund(order, 3_000, now=now)
    assert second.status == WAITS
    assert owed() == 3_000
    assert_no_findings()
    sandbox.claim_refund(str(second.stripe_id))
    later(sandbox)
    assert state(second) == Refund.Status.SUCCEEDED
    assert owed() == 0
    assert_no_findings()


@pytest.mark.django_db
def test_a_refund_fails_after_45_days_without_a_bank_account(sandbox: Sandbox) -> None:
    order = paid(sandbox)
    refund = build.refund(order, 1_000, now=at(TUESDAY, 11))
    later(sandbox, days=44)
    assert state(refund) == WAITS
    later(sandbox, days=2)
    assert state(refund) == FAILED
    assert owed() == 1_000
    assert_no_findings()


@pytest.mark.django_db
def test_a_refund_cancelled_at_stripe_before_its_money_moved_is_taken_back(sandbox: Sandbox) -> None:
    order = paid(sandbox)
    refund = build.refund(order, 1_000, now=at(TUESDAY, 11))
    stripe_client.client().v1.refunds.cancel(str(refund.stripe_id))
    later(sandbox)
    assert state(refund) == Refund.Status.CANCELED
    assert owed() == 0
    assert net_balance(PREPAYMENTS, order=order) == -order.total
    entry = JournalEntry.objects.get(source_type="refund", purpose="waiting")
    assert lines_of(entry.reversed_by) == {PREPAYMENTS: -1_000, REFUNDS_PAYABLE: 1_000}
    assert Discrepancy.objects.get().kind == Discrepancy.Kind.REFUND_WITHDRAWN
    assert_no_findings()


@pytest.mark.django_db
def test_a_refund_that_the_bank_returns_can_be_requested_again(sandbox: Sandbox) -> None:
    order = paid(sandbox)
    refund = build.refund(order, 1_000, now=at(TUESDAY, 11))
    sandbox.claim_refund(str(refund.stripe_id), bank_accepts=False)
    build.deliver(sandbox)
    assert state(refund) == Refund.Status.PENDING
    later(sandbox)
    assert state(refund) == WAITS
    assert owed() == 1_000
    sandbox.claim_refund(str(refund.stripe_id))
    later(sandbox)
    assert state(refund) == Refund.Status.SUCCEEDED
    assert owed() == 0
    assert order.mails.filter(kind=OutgoingMail.Kind.REFUND_WAITS).count() == 1
    assert_no_findings()


@pytest.mark.django_db
@pytest.mark.parametrize("end", ["claimed", "unanswered", "cancelled", "returned by the bank"])
def test_the_balance_may_move_when_the_refund_begins_and_back_when_it_fails(
    sandbox: Sandbox, end: str
) -> None:
    sandbox.book_refunds_at_once = True
    order = paid(sandbox, shipped=end != "cancelled")
    before = net_balance(STRIPE_BALANCE)
    refund = build.refund(order, 1_000, now=at(TUESDAY, 11))
    build.fetch(sandbox)
    assert (state(refund), owed(), net_balance(STRIPE_BALANCE)) == (WAITS, 0, before - 1_000)
    assert_no_findings()
    if end == "unanswered":
        sandbox.ignore_refund(str(refund.stripe_id))
    elif end == "cancelled":
        stripe_client.client().v1.refunds.cancel(str(refund.stripe_id))
    else:
        sandbox.claim_refund(str(refund.stripe_id), bank_accepts=end == "claimed")
    if end == "unanswered":  # the balance is fetched before the event arrives
        build.fetch(sandbox)
    later(sandbox)
    came_back = end in ("unanswered", "cancelled")
    assert (state(refund) in Refund.FAILED_STATUSES) == came_back
    assert owed() == (1_000 if came_back else 0)
    assert net_balance(STRIPE_BALANCE) == (before if came_back else before - 1_000)
    assert net_balance(SUSPENSE) == 0
    assert_no_findings()
    for day in (MONDAY, TUESDAY):
        daily_close.close_day(day, now=build.now_of(sandbox))
    noted = list(Discrepancy.objects.values_list("kind", flat=True))
    assert noted == [Discrepancy.Kind.REFUND_FAILED] * came_back


@pytest.mark.django_db
def test_the_refund_of_a_cancelled_order_waits_for_the_bank_account(sandbox: Sandbox) -> None:
    order = paid(sandbox)
    cancel(order, at(TUESDAY, 12))
    assert order.status == OrderStatus.CANCELLED
    assert order.refunds.get().status == WAITS
    assert "振込先口座" in order.mails.get(kind=OutgoingMail.Kind.CANCELLED).text
    assert owed() == order.total
    assert_no_findings()


@pytest.mark.django_db
def test_a_refund_that_never_reached_stripe_is_sent_once(sandbox: Sandbox, settings: Settings) -> None:
    order = paid(sandbox)
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    refund = build.refund(order, 1_000, now=at(TUESDAY, 11))
    assert refund.status == Refund.Status.REQUESTED
    settings.STRIPE_API_BASE = ""
    assert refunds.send_requested(now=at(TUESDAY, 12)) == {refunds.Sending.ACCEPTED: 1}
    assert refunds.send_requested(now=at(TUESDAY, 12)) == {}
    assert state(refund) == WAITS
    start = at(MONDAY)
    assert len(list(stripe_client.list_refunds(start, start + timedelta(days=9)))) == 1


@pytest.mark.django_db
def test_a_refund_that_exists_at_stripe_is_found_when_its_request_has_changed_since(
    sandbox: Sandbox,
) -> None:
    order = paid(sandbox)
    order.payments.update(method="")  # the event of the charge has not arrived yet
    with transaction.atomic():
        refund = store_refund(
            order=order,
            request=RefundRequest.of_amount(1_000),
            nonce="form",
            actor="staff",
            now=at(TUESDAY, 11),
        )
    stripe_client.create_refund(refund)  # its answer is lost
    order.payments.update(method="konbini")
    again = build.refund(order, 1_000, nonce="form", now=at(TUESDAY, 12))
    assert (again.pk, again.status) == (refund.pk, WAITS)
    assert not Discrepancy.objects.exists()
    assert owed() == 1_000
    assert_no_findings()


@pytest.mark.django_db
def test_stripe_is_asked_once_a_day_about_a_waiting_refund(sandbox: Sandbox) -> None:
    order = paid(sandbox)
    refund = build.refund(order, 1_000, now=at(TUESDAY, 11))
    sandbox.ignore_refund(str(refund.stripe_id))
    lose_events(sandbox)
    assert refunds.update_waiting(now=at(TUESDAY, 23)) == 0
    assert state(refund) == WAITS
    assert refunds.update_waiting(now=at(TUESDAY, 11) + timedelta(days=1)) == 1
    assert state(refund) == FAILED
    second = build.refund(order, 1_000, now=at(TUESDAY, 12))
    for _run in range(2):
        assert refunds.update_waiting(now=at(TUESDAY, 12) + timedelta(days=2)) == 0
    assert state(second) == WAITS
    assert second.asked_at == at(TUESDAY, 12) + timedelta(days=2)


@pytest.mark.django_db
def test_a_refund_from_stripes_dashboard_waits_as_ours_do(sandbox: Sandbox) -> None:
    order = paid(sandbox)
    stripe_client.client().v1.refunds.create(
        {"payment_intent": order.payments.get().payment_intent, "amount": 700}
    )
    build.deliver(sandbox)
    refund = order.refunds.get()
    assert (refund.status, refund.actor) == (WAITS, "Stripe")
    assert owed() == 700
    assert_no_findings()


@pytest.mark.django_db
def test_days_with_vouchers_and_waiting_refunds_close_without_differences(sandbox: Sandbox) -> None:
    waiting = order_with_voucher(sandbox)
    order = paid(sandbox, shipped=True)
    refund = build.refund(order, 2_000, now=set_clock(sandbox, at(TUESDAY, 18)))
    build.deliver(sandbox)
    set_clock(sandbox, night_after(TUESDAY))
    for day in (MONDAY, TUESDAY):
        assert daily_close.close_day(day, now=night_after(TUESDAY)).differences == 0
    report = EvidenceFile.objects.get(close=TUESDAY, path__endswith="/report.html")
    assert "コンビニ払い" in evidence.read(report.path).decode()
    sandbox.claim_refund(str(refund.stripe_id))
    later(sandbox)
    set_clock(sandbox, DEADLINE + timedelta(hours=1, minutes=1))
    sandbox.expire_due()
    build.deliver(sandbox)
    waiting.refresh_from_db()
    assert waiting.status == OrderStatus.CANCELLED
    for past in (2, 3, 4):
        day = MONDAY + timedelta(days=past)
        now = set_clock(sandbox, night_after(day))
        assert daily_close.close_day(day, now=now).differences == 0
    assert owed() == 0
    assert_no_findings()


@pytest.mark.django_db
@settings(
    max_examples=examples(10), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    shipped=st.booleans(),
    amount=st.integers(1, 11_500),
    named=st.booleans(),
    balance_first=st.booleans(),
    seed=st.integers(0, 9_999),
)
def test_refund_events_in_any_order_leave_the_same_books(
    sandbox: Sandbox, shipped: bool, amount: int, named: bool, balance_first: bool, seed: int
) -> None:
    lose_events(sandbox)  # of the example before
    order = paid(sandbox, shipped=shipped, placed=build.order(now=set_clock(sandbox, at(MONDAY))))
    refund = build.refund(order, amount, now=set_clock(sandbox, at(TUESDAY, 11)))
    assert owed_of(order) == amount
    if named:
        sandbox.claim_refund(str(refund.stripe_id))
    else:
        sandbox.ignore_refund(str(refund.stripe_id))
    now = set_clock(sandbox, at(TUESDAY, 12))
    sandbox.expire_due()
    if balance_first:
        build.fetch(sandbox)
    for delivery in shuffled(sandbox.pending_deliveries(), seed):
        handle(delivery, now)
    build.fetch(sandbox)
    assert state(refund) == (Refund.Status.SUCCEEDED if named else FAILED)
    assert owed_of(order) == (0 if named else amount)
    findings = list(checks.orders.order_balances(Order.objects.filter(pk=order.pk), until=None))
    assert [str(finding) for finding in findings] == []


def owed_of(order: Order) -> int:
    return -net_balance(accounts.REFUNDS_PAYABLE, order=order)
