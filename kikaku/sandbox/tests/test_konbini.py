"""Konbini: a voucher that is paid at the counter, late, or never."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from kikaku.sandbox import Customer, MethodNotOffered, NoVoucher, Sandbox, SessionNotOpen, UnknownSession
from kikaku.sandbox.konbini import CHAINS, PAYMENT_GRACE_SECONDS, deadline
from kikaku.sandbox.openapi import Contract
from kikaku.sandbox.testing.build import (
    Clock,
    event_types,
    in_process,
    konbini_session,
    new_session,
    paid_at_konbini,
)

JST = timezone(timedelta(hours=9))
TAKEN = ["payment_intent.created", "payment_intent.requires_action", "checkout.session.completed"]


def _intent(client: stripe.StripeClient, session_id: str) -> stripe.PaymentIntent:
    session = client.v1.checkout.sessions.retrieve(session_id)
    return client.v1.payment_intents.retrieve(str(session.payment_intent))


def _voucher(client: stripe.StripeClient, session_id: str) -> Any:
    intent = _intent(client, session_id)
    assert intent.status == "requires_action" and intent.next_action is not None
    assert intent.next_action.type == "konbini_display_details"
    return intent.next_action.konbini_display_details


@pytest.mark.parametrize("total", [120, 300_000])
def test_the_limits_themselves_are_accepted(client: stripe.StripeClient, total: int) -> None:
    assert konbini_session(client, total).payment_method_types == ["card", "konbini"]


@pytest.mark.parametrize(
    ("total", "code"), [(119, "amount_too_small"), (300_001, "amount_too_large"), (49, "amount_too_small")]
)
def test_a_session_with_konbini_is_refused_outside_its_limits(
    client: stripe.StripeClient, total: int, code: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        konbini_session(client, total)
    assert refused.value.code == code and client.v1.checkout.sessions.list().data == []


def test_taking_a_voucher_completes_the_session_without_paying_it(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    session = konbini_session(client)
    result = sandbox.choose_konbini(session.id)
    after = client.v1.checkout.sessions.retrieve(session.id)
    assert (after.status, after.payment_status, after.url) == ("complete", "unpaid", None)
    assert (result.outcome, result.payment_intent) == ("requires_action", after.payment_intent)
    voucher = _voucher(client, session.id)
    assert (
        result.redirect_url
        == voucher.hosted_voucher_url
        == f"http://127.0.0.1:8001/konbini/voucher/{session.id}"
    )
    codes = [voucher.stores[chain] for chain in CHAINS]
    assert all(len(code.payment_code) == 6 and len(code.confirmation_number) == 11 for code in codes)
    assert event_types(client) == TAKEN
    assert client.v1.charges.list().data == [] and client.v1.balance_transactions.list().data == []


def test_the_deadline_is_the_last_second_of_a_day_in_japan(
    client: stripe.StripeClient, sandbox: Sandbox, clock: Clock
) -> None:
    by_default, week = konbini_session(client), konbini_session(client, days=7)
    for session in (by_default, week):
        sandbox.choose_konbini(session.id)
    # the clock shows 2026-05-29 05:26:40 JST
    ends = [datetime.fromtimestamp(_voucher(client, s.id).expires_at, JST) for s in (by_default, week)]
    assert [f"{end:%m-%d %H:%M:%S}" for end in ends] == ["06-01 23:59:59", "06-05 23:59:59"]


@given(
    now=st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2040, 1, 1), timezones=st.just(UTC)),
    days=st.integers(1, 60),
)
def test_at_any_hour_the_customer_has_the_whole_days(now: datetime, days: int) -> None:
    end = datetime.fromtimestamp(deadline(now.timestamp(), days), JST)
    assert f"{end:%H:%M:%S}" == "23:59:59"
    assert end.date() == now.astimezone(JST).date() + timedelta(days=days)


def test_the_payment_at_the_counter_pays_the_session(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    session = konbini_session(client)
    sandbox.choose_konbini(session.id, customer=Customer(name="山田 花子", phone="09012345678"))
    assert _voucher(client, session.id).stores.lawson.confirmation_number == "09012345678"
    paid = sandbox.pay_voucher(session.id, chain="lawson")
    after = client.v1.checkout.sessions.retrieve(session.id)
    assert (after.status, after.payment_status) == ("complete", "paid")
    intent = _intent(client, session.id)
    assert (intent.status, intent.amount_received, intent.next_action) == ("succeeded", 12_130, None)
    charge = client.v1.charges.retrieve(str(intent.latest_charge))
    assert paid.charge == charge.id and charge.billing_details.name == "山田 花子"
    details = charge.payment_method_details
    assert details is not None and details.konbini is not None and details.konbini.store is not None
    assert details.konbini.store.chain == "lawson"
    assert event_types(client) == [
        *TAKEN, "charge.succeeded", "payment_intent.succeeded", "checkout.session.async_payment_succeeded",
    ]  # fmt: skip


def test_the_fee_of_konbini_carries_consumption_tax(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    booked = paid_at_konbini(client, sandbox).balance_transaction
    assert isinstance(booked, stripe.BalanceTransaction)
    assert (booked.amount, booked.fee, booked.net) == (12_130, 481, 11_649)
    assert [(part.type, part.amount) for part in booked.fee_details] == [("stripe_fee", 437), ("tax", 44)]


def test_with_asynchronous_capture_the_balance_transaction_of_a_voucher_comes_later(
    client: stripe.StripeClient, sandbox: Sandbox, clock: Clock
) -> None:
    charge = paid_at_konbini(client, sandbox, payment_intent_data={"capture_method": "automatic_async"})
    assert charge.balance_transaction is None
    clock.forward(10)
    booked = client.v1.charges.retrieve(charge.id, {"expand": ["balance_transaction"]}).balance_transaction
    assert isinstance(booked, stripe.BalanceTransaction) and booked.fee == 481
    assert event_types(client)[-1] == "charge.updated"


def test_an_unpaid_voucher_fails_some_minutes_after_its_deadline(
    client: stripe.StripeClient, sandbox: Sandbox, clock: Clock
) -> None:
    session = konbini_session(client)
    sandbox.choose_konbini(session.id)
    end = _voucher(client, session.id).expires_at
    clock.now = end + PAYMENT_GRACE_SECONDS - 1
    assert _intent(client, session.id).status == "requires_action"
    clock.forward(3600)
    intent = _intent(client, session.id)
    assert (intent.status, intent.next_action, intent.payment_method) == (
        "requires_payment_method",
        None,
        None,
    )
    assert intent.last_payment_error is not None
    assert intent.last_payment_error.code == "payment_intent_payment_attempt_expired"
    after = client.v1.checkout.sessions.retrieve(session.id)
    assert (after.status, after.payment_status) == ("complete", "unpaid")
    assert event_types(client) == [
        *TAKEN, "payment_intent.payment_failed", "checkout.session.async_payment_failed"
    ]  # fmt: skip
    failed = client.v1.events.list({"type": "checkout.session.async_payment_failed"}).data[0]
    assert failed.created == end + PAYMENT_GRACE_SECONDS
    with pytest.raises(NoVoucher):
        sandbox.pay_voucher(session.id)
    assert client.v1.balance_transactions.list().data == []


def test_a_slip_from_before_the_deadline_can_be_paid_minutes_after_it(
    client: stripe.StripeClient, sandbox: Sandbox, clock: Clock
) -> None:
    session = konbini_session(client)
    sandbox.choose_konbini(session.id)
    clock.now = _voucher(client, session.id).expires_at + 60
    assert sandbox.pay_voucher(session.id).outcome == "succeeded"
    clock.forward(86_400)
    assert client.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"
    assert "payment_intent.payment_failed" not in event_types(client)


def test_a_voucher_can_be_expired_at_once(
    client: stripe.StripeClient, sandbox: Sandbox, clock: Clock
) -> None:
    session = konbini_session(client)
    sandbox.choose_konbini(session.id)
    sandbox.expire_voucher(session.id)
    assert _intent(client, session.id).status == "requires_payment_method"
    clock.forward(7 * 86_400)
    assert event_types(client).count("checkout.session.async_payment_failed") == 1


def test_a_complete_session_takes_no_card_no_second_voucher_and_does_not_expire(
    client: stripe.StripeClient, sandbox: Sandbox, clock: Clock
) -> None:
    session = konbini_session(client, expires_at=int(clock.now) + 1800)
    sandbox.choose_konbini(session.id)
    with pytest.raises(SessionNotOpen):
        sandbox.pay(session.id)
    with pytest.raises(SessionNotOpen):
        sandbox.choose_konbini(session.id)
    with pytest.raises(stripe.InvalidRequestError, match="`complete`"):
        client.v1.checkout.sessions.expire(session.id)
    clock.forward(3600)
    assert client.v1.checkout.sessions.retrieve(session.id).status == "complete"
    assert sandbox.pay_voucher(session.id).outcome == "succeeded"


def test_a_voucher_is_paid_once(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    session = konbini_session(client)
    with pytest.raises(NoVoucher):
        sandbox.pay_voucher(session.id)
    sandbox.choose_konbini(session.id)
    sandbox.pay_voucher(session.id)
    for again in (sandbox.pay_voucher, sandbox.expire_voucher):
        with pytest.raises(NoVoucher):
            again(session.id)
    with pytest.raises(UnknownSession):
        sandbox.pay_voucher("cs_test_nothing")
    assert len(client.v1.charges.list().data) == 1


def test_a_session_without_konbini_gives_no_voucher_and_one_without_cards_takes_none(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    with pytest.raises(MethodNotOffered, match="konbini"):
        sandbox.choose_konbini(new_session(client).id)
    only = new_session(client, payment_method_types=["konbini"])
    with pytest.raises(MethodNotOffered, match="card"):
        sandbox.pay(only.id)
    assert sandbox.choose_konbini(only.id).outcome == "requires_action"


@pytest.mark.parametrize("card", ["4000000000000002", "4000002760003184"])
def test_a_card_that_did_not_work_can_be_followed_by_a_voucher(
    client: stripe.StripeClient, sandbox: Sandbox, card: str
) -> None:
    session = konbini_session(client)
    tried = sandbox.pay(session.id, card=card)
    taken = sandbox.choose_konbini(session.id)
    assert taken.payment_intent == tried.payment_intent
    assert sandbox.pay_voucher(session.id).payment_intent == tried.payment_intent


@pytest.mark.parametrize(
    ("customer", "code"),
    [
        (Customer(name=" "), "name_missing"),
        (Customer(), "email_missing"),
        (Customer(email="nobody"), "email_invalid"),
        (
            Customer(email="a@example.jp", phone="00000000000"),
            "payment_intent_konbini_rejected_confirmation_number",
        ),
        (Customer(email="a@example.jp", phone="123"), "payment_intent_konbini_rejected_confirmation_number"),
    ],
)
def test_invalid_customer_details_leave_the_session_open(
    client: stripe.StripeClient, sandbox: Sandbox, customer: Customer, code: str
) -> None:
    params: Any = {"customer_email": None} if code != "name_missing" else {}
    session = konbini_session(client, **params)
    result = sandbox.choose_konbini(session.id, customer=customer)
    assert (result.outcome, result.code) == ("invalid", code)
    assert client.v1.checkout.sessions.retrieve(session.id).status == "open" and event_types(client) == []


def test_every_event_about_a_voucher_is_as_documented(
    client: stripe.StripeClient, sandbox: Sandbox, contract: Contract, clock: Clock
) -> None:
    for end in (sandbox.pay_voucher, sandbox.expire_voucher):
        session = konbini_session(client)
        sandbox.choose_konbini(session.id)
        end(session.id)
    for charge in client.v1.charges.list().data:
        refund = client.v1.refunds.create({"charge": charge.id})
        sandbox.claim_refund(refund.id, bank_accepts=False)
        clock.forward(10)
        sandbox.ignore_refund(refund.id)
    for delivery in sandbox.pending_deliveries():
        contract.check_event(delivery.body)


def test_sessions_of_both_kinds_are_served_to_the_same_client(sandbox: Sandbox) -> None:
    client = in_process(sandbox)
    assert paid_at_konbini(client, sandbox, 120).amount == 120
