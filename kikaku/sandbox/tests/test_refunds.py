"""Refunds, and the balance as the sum of its transactions after any sequence of acts."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
import stripe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kikaku.sandbox import CARDS, Sandbox
from kikaku.sandbox.openapi import Contract
from kikaku.sandbox.testing.build import Clock, event_types, in_process, paid, paid_at_konbini


def _net(client: stripe.StripeClient) -> int:
    return sum(entry.net for entry in client.v1.balance_transactions.list({"limit": 100}).auto_paging_iter())


def _balance(client: stripe.StripeClient) -> int:
    balance = client.v1.balance.retrieve()
    return balance.available[0].amount + balance.pending[0].amount


def test_a_partial_refund_takes_its_amount_and_no_fee(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    charge = paid(client, sandbox)
    refund = client.v1.refunds.create(
        {
            "charge": charge.id,
            "amount": 3_000,
            "reason": "requested_by_customer",
            "metadata": {"refund": "7"},
            "expand": ["balance_transaction"],
        }
    )
    assert (refund.status, refund.amount, refund.charge) == ("succeeded", 3_000, charge.id)
    assert refund.payment_intent == charge.payment_intent
    booked = refund.balance_transaction
    assert isinstance(booked, stripe.BalanceTransaction)
    assert (booked.amount, booked.fee, booked.net, booked.type) == (-3_000, 0, -3_000, "refund")
    assert booked.source == refund.id
    after = client.v1.charges.retrieve(charge.id)
    assert (after.amount_refunded, after.refunded) == (3_000, False)
    assert event_types(client)[-2:] == ["charge.refunded", "refund.created"]
    assert _balance(client) == 12_130 - 437 - 3_000 == _net(client)


def test_the_rest_is_refunded_by_the_intent_without_an_amount(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    charge = paid(client, sandbox)
    client.v1.refunds.create({"charge": charge.id, "amount": 3_000})
    rest = client.v1.refunds.create({"payment_intent": str(charge.payment_intent)})
    assert rest.amount == 9_130
    after = client.v1.charges.retrieve(charge.id, {"expand": ["refunds"]})
    assert (after.amount_refunded, after.refunded) == (12_130, True)
    assert after.refunds is not None and [r.amount for r in after.refunds.data] == [9_130, 3_000]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create({"charge": charge.id})
    assert refused.value.code == "charge_already_refunded"


def test_more_than_what_is_left_is_refused(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    charge = paid(client, sandbox)
    client.v1.refunds.create({"charge": charge.id, "amount": 12_000})
    with pytest.raises(stripe.InvalidRequestError, match=r"¥131\) is greater than .* \(¥130\)") as refused:
        client.v1.refunds.create({"charge": charge.id, "amount": 131})
    assert refused.value.param == "amount"
    assert client.v1.charges.retrieve(charge.id).amount_refunded == 12_000


@pytest.mark.parametrize("params", [{}, {"amount": 100}, {"charge": "ch_x", "payment_intent": "pi_x"}])
def test_a_refund_names_one_charge_or_one_intent(client: stripe.StripeClient, params: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="payment_intent or charge"):
        client.v1.refunds.create(params)


def test_there_is_nothing_to_refund_before_a_payment(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    declined = paid(client, sandbox, card="4000000000000002")
    with pytest.raises(stripe.InvalidRequestError, match="does not have a successful charge"):
        client.v1.refunds.create({"payment_intent": str(declined.payment_intent)})
    with pytest.raises(stripe.InvalidRequestError, match="not successful"):
        client.v1.refunds.create({"charge": declined.id})
    with pytest.raises(stripe.InvalidRequestError) as unknown:
        client.v1.refunds.create({"charge": "ch_nothing"})
    assert (unknown.value.code, unknown.value.http_status) == ("resource_missing", 404)


def test_a_refund_that_fails_later_brings_the_money_back(
    client: stripe.StripeClient, sandbox: Sandbox, clock: Clock
) -> None:
    charge = paid(client, sandbox, card="4000000000005126")
    refund = client.v1.refunds.create({"charge": charge.id})
    assert refund.status == "succeeded" and _balance(client) == -437
    clock.forward(60)
    failed = client.v1.refunds.retrieve(refund.id, {"expand": ["failure_balance_transaction"]})
    assert (failed.status, failed.failure_reason) == ("failed", "unknown")
    back = failed.failure_balance_transaction
    assert isinstance(back, stripe.BalanceTransaction)
    assert (back.amount, back.fee, back.type, back.source) == (12_130, 0, "refund_failure", refund.id)
    after = client.v1.charges.retrieve(charge.id)
    assert (after.amount_refunded, after.refunded) == (0, False)
    assert event_types(client)[-2:] == ["refund.failed", "refund.updated"]
    assert _balance(client) == 12_130 - 437 == _net(client)


def test_a_refund_that_waits_moves_money_only_when_it_succeeds(
    client: stripe.StripeClient, sandbox: Sandbox, clock: Clock
) -> None:
    charge = paid(client, sandbox, card="4000000000007726")
    refund = client.v1.refunds.create({"charge": charge.id, "amount": 1_000})
    assert (refund.status, refund.balance_transaction, refund.pending_reason) == (
        "pending",
        None,
        "processing",
    )
    assert _balance(client) == 12_130 - 437
    clock.forward(60)
    done = client.v1.refunds.retrieve(refund.id)
    assert (done.status, done.balance_transaction is None) == ("succeeded", False)
    assert _balance(client) == 12_130 - 437 - 1_000
    assert event_types(client)[-2:] == ["refund.created", "refund.updated"]


@pytest.mark.parametrize("card", ["4242424242424242", "4000000000007726"])
def test_a_card_refund_cannot_be_cancelled(client: stripe.StripeClient, sandbox: Sandbox, card: str) -> None:
    refund = client.v1.refunds.create({"charge": paid(client, sandbox, card=card).id})
    with pytest.raises(stripe.InvalidRequestError, match="requires_action"):
        client.v1.refunds.cancel(refund.id)
    assert client.v1.refunds.retrieve(refund.id).status == refund.status


def test_refunds_are_listed_by_charge_and_intent(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    first, second = paid(client, sandbox), paid(client, sandbox)
    for charge in (first, second, first):
        client.v1.refunds.create({"charge": charge.id, "amount": 100})
    assert len(client.v1.refunds.list({"charge": first.id}).data) == 2
    assert len(client.v1.refunds.list({"payment_intent": str(second.payment_intent)}).data) == 1
    assert len(client.v1.refunds.list().data) == 3


_PAYING_CARDS = sorted(number for number, card in CARDS.items() if card.behaviour == "succeeds")
_KONBINI = "konbini"
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pay"), st.sampled_from(_PAYING_CARDS), st.integers(50, 200_000), st.booleans()),
        st.tuples(st.just("pay"), st.just(_KONBINI), st.integers(120, 300_000), st.booleans()),
        st.tuples(st.just("refund"), st.integers(0, 9), st.integers(1, 120_000), st.none()),
        st.tuples(
            st.sampled_from(["claim", "misname", "ignore", "cancel"]),
            st.integers(0, 9),
            st.just(0),
            st.none(),
        ),
        st.tuples(st.just("wait"), st.just(0), st.integers(1, 4_000_000), st.none()),
    ),
    max_size=12,
)


def _answer(client: stripe.StripeClient, sandbox: Sandbox, answer: str, refund: str) -> None:
    """Answer for a refund that waits for a bank account, as its customer or as the shop."""
    if answer == "cancel":
        client.v1.refunds.cancel(refund)
    elif answer == "ignore":
        sandbox.ignore_refund(refund)
    else:
        sandbox.claim_refund(refund, bank_accepts=answer == "claim")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS, at_once=st.booleans())
def test_after_any_payments_and_refunds_the_balance_is_the_sum_of_its_transactions(
    contract: Contract, steps: list[tuple[str, Any, int, Any]], at_once: bool
) -> None:
    clock = Clock(1_780_000_000)
    with tempfile.TemporaryDirectory() as folder:
        sandbox = Sandbox(
            Path(folder) / "state", clock=clock, observer=contract.observe, book_refunds_at_once=at_once
        )
        client = in_process(sandbox)
        charges: list[str] = []
        for kind, which, amount, captured in steps:
            if kind == "pay":
                data = {"capture_method": "automatic" if captured else "automatic_async"}
                if which == _KONBINI:
                    charge = paid_at_konbini(client, sandbox, amount, payment_intent_data=data)
                else:
                    charge = paid(client, sandbox, amount, which, payment_intent_data=data)
                charges.append(charge.id)
            elif kind == "wait":
                clock.forward(amount)
            elif kind == "refund" and charges:
                charge = client.v1.charges.retrieve(charges[which % len(charges)])
                left = charge.amount - charge.amount_refunded
                if amount <= left:
                    client.v1.refunds.create({"charge": charge.id, "amount": amount})
                else:
                    with pytest.raises(stripe.InvalidRequestError):
                        client.v1.refunds.create({"charge": charge.id, "amount": amount})
            elif kind != "refund":
                every = client.v1.refunds.list({"limit": 100}).data
                waiting = [refund.id for refund in every if refund.status == "requires_action"]
                if waiting:
                    _answer(client, sandbox, kind, waiting[which % len(waiting)])
            assert _balance(client) == _net(client)
        clock.forward(60)
        refunds = client.v1.refunds.list({"limit": 100}).data
        for charge in client.v1.charges.list({"limit": 100}).data:
            kept = [r for r in refunds if r.charge == charge.id and r.status not in {"failed", "canceled"}]
            assert sum(refund.amount for refund in kept) == charge.amount_refunded <= charge.amount
        entries = client.v1.balance_transactions.list({"limit": 100}).data
        gone = sum(r.amount for r in refunds if r.balance_transaction is not None)
        back = sum(r.amount for r in refunds if "failure_balance_transaction" in r)
        received = sum(charge.amount for charge in client.v1.charges.list({"limit": 100}).data)
        assert _balance(client) == received - gone + back - sum(entry.fee for entry in entries)
        sandbox.close()
