"""Refunds of konbini payments: the customer is asked by mail for a bank account, and answers or not."""

import pytest
import stripe

from kikaku.sandbox import RefundNotWaiting, Sandbox, UnknownRefund
from kikaku.sandbox.testing.build import Clock, event_types, in_process, paid, paid_at_konbini

DAY = 86_400


@pytest.fixture
def charge(client: stripe.StripeClient, sandbox: Sandbox) -> stripe.Charge:
    """Return a payment of ¥12,130 at a convenience store (fee ¥481 with tax)."""
    return paid_at_konbini(client, sandbox)


def _balance(client: stripe.StripeClient) -> int:
    balance = client.v1.balance.retrieve()
    return balance.available[0].amount + balance.pending[0].amount


def _refunded(client: stripe.StripeClient, charge: stripe.Charge) -> int:
    return client.v1.charges.retrieve(charge.id).amount_refunded


def test_it_asks_the_customer_and_moves_no_money_yet(
    client: stripe.StripeClient, charge: stripe.Charge, clock: Clock
) -> None:
    refund = client.v1.refunds.create(
        {"charge": charge.id, "amount": 3_000, "instructions_email": "taro@example.jp"}
    )
    assert (refund.status, refund.balance_transaction) == ("requires_action", None)
    assert refund.instructions_email == "taro@example.jp" and refund.next_action is not None
    details = refund.next_action.display_details
    assert refund.next_action.type == "display_details" and details is not None
    assert details.expires_at == int(clock.now) + 45 * DAY
    assert (details.email_sent.email_sent_at, details.email_sent.email_sent_to) == (
        int(clock.now),
        "taro@example.jp",
    )
    assert event_types(client)[-2:] == ["charge.refunded", "refund.created"]
    assert _balance(client) == 12_130 - 481 and _refunded(client, charge) == 3_000


def test_without_an_address_the_customer_of_the_payment_is_asked(
    client: stripe.StripeClient, charge: stripe.Charge
) -> None:
    assert client.v1.refunds.create({"charge": charge.id}).instructions_email == "hanako@example.jp"


def test_instructions_email_must_be_an_address(lenient: Sandbox, charge: stripe.Charge) -> None:
    client = in_process(lenient)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create({"charge": charge.id, "instructions_email": "nobody"})
    assert (refused.value.code, refused.value.param) == ("email_invalid", "instructions_email")


def test_a_card_needs_no_instructions(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    charge = paid(client, sandbox)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create({"charge": charge.id, "instructions_email": "taro@example.jp"})
    assert refused.value.param == "instructions_email" and _refunded(client, charge) == 0


def test_once_claimed_it_is_pending_and_then_succeeds_with_its_balance_transaction(
    client: stripe.StripeClient, sandbox: Sandbox, charge: stripe.Charge, clock: Clock
) -> None:
    refund = client.v1.refunds.create({"charge": charge.id, "amount": 3_000})
    clock.forward(10 * DAY)
    sandbox.claim_refund(refund.id)
    pending = client.v1.refunds.retrieve(refund.id)
    assert (pending.status, pending.pending_reason, pending.balance_transaction) == (
        "pending",
        "processing",
        None,
    )
    assert "next_action" not in pending and _balance(client) == 12_130 - 481
    clock.forward(60)
    done = client.v1.refunds.retrieve(refund.id, {"expand": ["balance_transaction"]})
    booked = done.balance_transaction
    assert done.status == "succeeded" and isinstance(booked, stripe.BalanceTransaction)
    assert (booked.amount, booked.fee, booked.created) == (-3_000, 0, int(clock.now) - 55)
    assert done.destination_details is not None and done.destination_details.type == "jp_bank_transfer"
    assert event_types(client)[-2:] == ["refund.updated", "refund.updated"]
    assert _balance(client) == 12_130 - 481 - 3_000
    clock.forward(60 * DAY)
    assert client.v1.refunds.retrieve(refund.id).status == "succeeded"


def test_after_forty_five_days_it_fails_and_can_be_made_again(
    client: stripe.StripeClient, sandbox: Sandbox, charge: stripe.Charge, clock: Clock
) -> None:
    refund = client.v1.refunds.create({"charge": charge.id})
    clock.forward(45 * DAY - 1)
    assert client.v1.refunds.retrieve(refund.id).status == "requires_action"
    clock.forward(1)
    failed = client.v1.refunds.retrieve(refund.id)
    assert (failed.status, failed.failure_reason, failed.balance_transaction) == ("failed", "unknown", None)
    assert "failure_balance_transaction" not in failed and "next_action" not in failed
    assert event_types(client)[-2:] == ["refund.failed", "refund.updated"]
    assert _balance(client) == 12_130 - 481 and _refunded(client, charge) == 0
    assert client.v1.refunds.create({"charge": charge.id}).status == "requires_action"


def test_a_customer_who_never_answers_can_be_simulated_at_once(
    client: stripe.StripeClient, sandbox: Sandbox, charge: stripe.Charge, clock: Clock
) -> None:
    first, second = (client.v1.refunds.create({"charge": charge.id, "amount": 100}) for _ in range(2))
    sandbox.ignore_refund(first.id)
    assert client.v1.test_helpers.refunds.expire(second.id).status == "failed"
    assert event_types(client).count("refund.failed") == 2 and _refunded(client, charge) == 0
    clock.forward(50 * DAY)
    assert event_types(client) == [], "nothing more happens when the time would have come"


def test_a_bank_that_returns_the_money_makes_it_ask_again_within_the_same_forty_five_days(
    client: stripe.StripeClient, sandbox: Sandbox, charge: stripe.Charge, clock: Clock
) -> None:
    refund = client.v1.refunds.create({"charge": charge.id})
    clock.forward(40 * DAY)
    sandbox.claim_refund(refund.id, bank_accepts=False)
    assert client.v1.refunds.retrieve(refund.id).status == "pending"
    clock.forward(60)
    asking = client.v1.refunds.retrieve(refund.id)
    assert asking.status == "requires_action" and asking.next_action is not None
    assert "pending_reason" not in asking and "destination_details" not in asking
    details = asking.next_action.display_details
    assert details is not None and details.expires_at == refund.created + 45 * DAY
    assert details.email_sent.email_sent_at == refund.created + 40 * DAY + 5
    sandbox.claim_refund(refund.id)
    clock.forward(60)
    assert client.v1.refunds.retrieve(refund.id).status == "succeeded"
    assert _balance(client) == -481


def test_it_can_be_cancelled_while_it_waits_for_the_customer(
    client: stripe.StripeClient, sandbox: Sandbox, charge: stripe.Charge, clock: Clock
) -> None:
    refund = client.v1.refunds.create({"charge": charge.id, "amount": 3_000})
    cancelled = client.v1.refunds.cancel(refund.id)
    assert (cancelled.status, cancelled.failure_reason) == ("canceled", "merchant_request")
    assert event_types(client)[-1] == "refund.updated" and _refunded(client, charge) == 0
    clock.forward(50 * DAY)
    assert client.v1.refunds.retrieve(refund.id).status == "canceled"
    with pytest.raises(stripe.InvalidRequestError, match="status of canceled"):
        client.v1.refunds.cancel(refund.id)


def test_what_does_not_wait_for_a_customer_cannot_be_claimed_ignored_or_expired(
    client: stripe.StripeClient, sandbox: Sandbox, charge: stripe.Charge
) -> None:
    of_card = client.v1.refunds.create({"charge": paid(client, sandbox).id})
    claimed = client.v1.refunds.create({"charge": charge.id})
    sandbox.claim_refund(claimed.id)
    for refund in (of_card, claimed):
        for answer in (sandbox.claim_refund, sandbox.ignore_refund):
            with pytest.raises(RefundNotWaiting):
                answer(refund.id)
        with pytest.raises(stripe.InvalidRequestError, match="requires_action"):
            client.v1.test_helpers.refunds.expire(refund.id)
    with pytest.raises(UnknownRefund):
        sandbox.claim_refund("re_nothing")


def test_in_the_balance_it_is_a_payment_and_its_refund(
    client: stripe.StripeClient, sandbox: Sandbox, charge: stripe.Charge, clock: Clock
) -> None:
    refund = client.v1.refunds.create({"charge": charge.id})
    sandbox.claim_refund(refund.id)
    clock.forward(60)
    assert charge.id.startswith("py_") and refund.id.startswith("pyr_")
    entries = client.v1.balance_transactions.list().data
    assert [(e.type, e.reporting_category, e.source) for e in entries] == [
        ("payment_refund", "refund", refund.id),
        ("payment", "charge", charge.id),
    ]


@pytest.mark.parametrize("end", ["succeeds", "fails", "is cancelled", "is returned and then fails"])
def test_its_money_may_leave_the_balance_at_once_and_come_back(
    client: stripe.StripeClient, sandbox: Sandbox, charge: stripe.Charge, clock: Clock, end: str
) -> None:
    sandbox.book_refunds_at_once = True
    refund = client.v1.refunds.create({"charge": charge.id})
    assert refund.status == "requires_action" and refund.balance_transaction is not None
    assert _balance(client) == -481
    if end == "succeeds":
        sandbox.claim_refund(refund.id)
        clock.forward(60)
    else:
        if end == "is returned and then fails":
            sandbox.claim_refund(refund.id, bank_accepts=False)
            clock.forward(60)
            assert _balance(client) == -481
        if end == "is cancelled":
            client.v1.refunds.cancel(refund.id)
        else:
            sandbox.ignore_refund(refund.id)
    after = client.v1.refunds.retrieve(refund.id, {"expand": ["failure_balance_transaction"]})
    assert after.balance_transaction == refund.balance_transaction
    if end == "succeeds":
        assert after.status == "succeeded" and _balance(client) == -481
        return
    back = after.failure_balance_transaction
    assert isinstance(back, stripe.BalanceTransaction)
    assert (back.type, back.amount, back.source) == ("payment_refund", 12_130, refund.id)
    assert _balance(client) == 12_130 - 481 and _refunded(client, charge) == 0
