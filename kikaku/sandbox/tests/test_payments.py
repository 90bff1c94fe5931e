"""Card payments: the effect of each test card on session, intent, charge, balance and events."""

import threading

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from kikaku.sandbox import NothingToAuthenticate, Sandbox, SessionNotOpen, UnknownSession
from kikaku.sandbox.balance import fee_tax, processing_fee
from kikaku.sandbox.testing.build import Clock, event_types, new_session, paid

PAID_EVENTS = [
    "payment_intent.created",
    "charge.succeeded",
    "payment_intent.succeeded",
    "checkout.session.completed",
]


def test_a_payment_completes_the_session_and_carries_the_metadata_to_intent_and_charge(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    session = new_session(client)
    result = sandbox.pay(session.id)
    assert result.outcome == "succeeded"
    assert result.redirect_url == f"http://127.0.0.1:8000/thanks/?session={session.id}"
    after = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent.latest_charge"]})
    assert (after.status, after.payment_status, after.url) == ("complete", "paid", None)
    assert after.customer_details is not None and after.customer_details.email == "hanako@example.jp"
    intent = after.payment_intent
    assert isinstance(intent, stripe.PaymentIntent)
    assert (intent.status, intent.amount, intent.amount_received) == ("succeeded", 12_130, 12_130)
    assert intent.metadata["order"] == "A-1001"
    charge = intent.latest_charge
    assert isinstance(charge, stripe.Charge)
    assert (charge.amount, charge.paid, charge.captured, charge.refunded) == (12_130, True, True, False)
    assert charge.metadata["order"] == "A-1001"
    assert event_types(client) == PAID_EVENTS


@pytest.mark.parametrize(
    ("card", "brand", "parts"),
    [
        ("4242424242424242", "visa", [("stripe_fee", 437)]),
        ("5555555555554444", "mastercard", [("stripe_fee", 437)]),
        ("3566002020360505", "jcb", [("stripe_fee", 437), ("tax", 44)]),
        ("378282246310005", "amex", [("stripe_fee", 437), ("tax", 44)]),
    ],
)
def test_the_worked_order_costs_437_yen_and_for_jcb_and_amex_44_yen_of_tax(
    client: stripe.StripeClient, sandbox: Sandbox, card: str, brand: str, parts: list[tuple[str, int]]
) -> None:
    charge = paid(client, sandbox, 12_130, card)
    assert charge.payment_method_details is not None and charge.payment_method_details.card is not None
    assert charge.payment_method_details.card.brand == brand
    booked = charge.balance_transaction
    assert isinstance(booked, stripe.BalanceTransaction)
    assert [(detail.type, detail.amount) for detail in booked.fee_details] == parts
    assert booked.fee == sum(amount for _, amount in parts)
    assert (booked.amount, booked.net, booked.source) == (12_130, 12_130 - booked.fee, charge.id)
    assert (booked.type, booked.reporting_category, booked.status) == ("charge", "charge", "pending")


@given(st.integers(min_value=50, max_value=99_999_999))
def test_a_fee_is_the_nearest_yen_and_half_a_yen_goes_up(amount: int) -> None:
    fee = processing_fee(amount)
    assert -500 < fee * 1000 - amount * 36 <= 500
    assert -50 < fee_tax(fee) * 100 - fee * 10 <= 50


def test_money_becomes_available_days_later(
    client: stripe.StripeClient, sandbox: Sandbox, clock: Clock
) -> None:
    booked = paid(client, sandbox).balance_transaction
    assert isinstance(booked, stripe.BalanceTransaction)
    balance = client.v1.balance.retrieve()
    assert (balance.available[0].amount, balance.pending[0].amount) == (0, booked.net)
    clock.now = booked.available_on
    balance = client.v1.balance.retrieve()
    assert (balance.available[0].amount, balance.pending[0].amount) == (booked.net, 0)
    assert client.v1.balance_transactions.retrieve(booked.id).status == "available"


@pytest.mark.parametrize("data", [{"capture_method": "automatic_async"}, {}])
def test_without_capture_method_automatic_the_balance_transaction_comes_later(
    client: stripe.StripeClient, sandbox: Sandbox, clock: Clock, data: dict[str, str]
) -> None:
    charge = paid(client, sandbox, payment_intent_data=data)
    assert charge.balance_transaction is None
    assert client.v1.balance_transactions.list().data == []
    clock.forward(60)
    (booked,) = client.v1.balance_transactions.list({"source": charge.id}).data
    assert client.v1.charges.retrieve(charge.id).balance_transaction == booked.id
    assert event_types(client) == [*PAID_EVENTS, "charge.updated"]
    (event,) = client.v1.events.list({"type": "charge.updated"}).data
    assert event.data.to_dict()["previous_attributes"] == {"balance_transaction": None}


@pytest.mark.parametrize(
    ("card", "decline_code"),
    [("4000000000000002", "generic_decline"), ("4000000000009995", "insufficient_funds")],
)
def test_a_declined_card_leaves_the_session_open_and_a_second_try_uses_the_same_intent(
    client: stripe.StripeClient, sandbox: Sandbox, card: str, decline_code: str
) -> None:
    session = new_session(client)
    declined = sandbox.pay(session.id, card=card)
    assert (declined.outcome, declined.code, declined.decline_code) == (
        "declined",
        "card_declined",
        decline_code,
    )
    assert client.v1.checkout.sessions.retrieve(session.id).status == "open"
    assert declined.payment_intent is not None and declined.charge is not None
    intent = client.v1.payment_intents.retrieve(declined.payment_intent)
    assert (intent.status, intent.amount_received) == ("requires_payment_method", 0)
    assert intent.last_payment_error is not None and intent.last_payment_error.decline_code == decline_code
    assert client.v1.charges.retrieve(declined.charge).status == "failed"
    assert client.v1.balance_transactions.list().data == []
    succeeded = sandbox.pay(session.id)
    assert (succeeded.outcome, succeeded.payment_intent) == ("succeeded", declined.payment_intent)
    assert event_types(client) == [
        "payment_intent.created",
        "charge.failed",
        "payment_intent.payment_failed",
        *PAID_EVENTS[1:],
    ]
    assert [c.status for c in client.v1.charges.list({"payment_intent": intent.id}).data] == [
        "succeeded",
        "failed",
    ]


def test_a_card_that_needs_authentication_asks_once(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    session = new_session(client)
    asked = sandbox.pay(session.id, card="4000002760003184")
    assert asked.outcome == "requires_action" and asked.payment_intent is not None
    intent = client.v1.payment_intents.retrieve(asked.payment_intent)
    assert intent.status == "requires_action" and intent.next_action is not None
    failed = sandbox.authenticate(session.id, succeeds=False)
    assert (failed.outcome, failed.code) == ("declined", "payment_intent_authentication_failure")
    with pytest.raises(NothingToAuthenticate):
        sandbox.authenticate(session.id)
    sandbox.pay(session.id, card="4000002760003184")
    done = sandbox.authenticate(session.id)
    assert (done.outcome, done.payment_intent) == ("succeeded", asked.payment_intent)
    assert event_types(client).count("payment_intent.payment_failed") == 1


def test_a_card_that_is_no_test_card_records_nothing(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    session = new_session(client)
    assert sandbox.pay(session.id, card="4111 1111 1111 1112").code == "incorrect_number"
    assert sandbox.pay(session.id, card="4111 1111 1111 1111").decline_code == "test_mode_live_card"
    assert event_types(client) == [] and client.v1.payment_intents.list().data == []


def test_full_width_digits_and_hyphens_are_read(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    assert sandbox.pay(new_session(client).id, card="４２４２-4242－4242 4242").outcome == "succeeded"


def test_a_session_is_paid_once_even_by_two_clicks_at_once(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    session = new_session(client)
    outcomes: list[str] = []
    barrier = threading.Barrier(6)

    def click() -> None:
        barrier.wait()
        try:
            outcomes.append(sandbox.pay(session.id).outcome)
        except SessionNotOpen:
            outcomes.append("not open")
        sandbox.close()

    threads = [threading.Thread(target=click) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["not open"] * 5 + ["succeeded"]
    assert len(client.v1.charges.list().data) == 1


def test_an_unknown_session_is_named(sandbox: Sandbox) -> None:
    with pytest.raises(UnknownSession, match="cs_test_nothing"):
        sandbox.pay("cs_test_nothing")
