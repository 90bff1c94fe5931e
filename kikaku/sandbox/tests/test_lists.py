"""Lists, filters and expansion through Stripe's client."""

from typing import Any

import pytest
import stripe

from kikaku.sandbox import Sandbox
from kikaku.sandbox.testing.build import Clock, in_process, paid


@pytest.fixture
def booked(client: stripe.StripeClient, sandbox: Sandbox, clock: Clock) -> list[str]:
    """Return twelve balance transactions, oldest first: hourly charges, refunds after the sixth and last."""
    ids: list[str] = []
    for number in range(1, 11):
        charge = paid(client, sandbox, 1_000 * number)
        assert isinstance(charge.balance_transaction, stripe.BalanceTransaction)
        ids.append(charge.balance_transaction.id)
        if number in {6, 10}:
            ids.append(str(client.v1.refunds.create({"charge": charge.id, "amount": 10}).balance_transaction))
        clock.forward(3600)
    return ids


def test_a_list_is_newest_first_and_ten_long(client: stripe.StripeClient, booked: list[str]) -> None:
    page = client.v1.balance_transactions.list()
    assert ([entry.id for entry in page.data], page.has_more) == (booked[:1:-1], True)


@pytest.mark.parametrize("limit", [1, 5, 12, 100])
def test_paging_forward_shows_everything_once(
    client: stripe.StripeClient, booked: list[str], limit: int
) -> None:
    seen = client.v1.balance_transactions.list({"limit": limit}).auto_paging_iter()
    assert [entry.id for entry in seen] == booked[::-1]


def test_paging_backward_gives_the_neighbours_newest_first(
    client: stripe.StripeClient, booked: list[str]
) -> None:
    page = client.v1.balance_transactions.list({"ending_before": booked[2], "limit": 3})
    assert ([entry.id for entry in page.data], page.has_more) == (booked[5:2:-1], True)
    page = client.v1.balance_transactions.list({"ending_before": booked[9], "limit": 3})
    assert ([entry.id for entry in page.data], page.has_more) == (booked[:9:-1], False)


def test_created_restricts_with_every_operator(client: stripe.StripeClient, booked: list[str]) -> None:
    entries = [client.v1.balance_transactions.retrieve(entry_id) for entry_id in booked]
    cut = entries[4].created

    def listed(created: Any) -> list[str]:
        page = client.v1.balance_transactions.list({"created": created, "limit": 100})
        return [entry.id for entry in page.data][::-1]

    assert listed({"gte": cut}) == booked[4:]
    assert listed({"gt": cut}) == booked[5:]
    assert listed({"lte": cut}) == booked[:5]
    assert listed({"lt": cut}) == booked[:4]
    assert listed({"gte": cut, "lt": cut + 7200}) == booked[4:7]
    assert listed(cut) == [booked[4]]


def test_balance_transactions_are_found_by_type_and_source(
    client: stripe.StripeClient, booked: list[str]
) -> None:
    refunds = client.v1.balance_transactions.list({"type": "refund"}).data
    assert [entry.id for entry in refunds] == [booked[11], booked[6]]
    (by_source,) = client.v1.balance_transactions.list({"source": str(refunds[0].source)}).data
    assert by_source.id == booked[11]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.balance_transactions.list({"payout": "po_nothing"})
    assert refused.value.code == "resource_missing"


def test_sources_are_expanded_within_a_list(client: stripe.StripeClient, booked: list[str]) -> None:
    page = client.v1.balance_transactions.list(
        {"limit": 100, "expand": ["data.source", "data.source.payment_intent"]}
    )
    kinds = {entry.type: entry.source for entry in page.data}
    assert isinstance(kinds["charge"], stripe.Charge) and isinstance(kinds["refund"], stripe.Refund)
    assert isinstance(kinds["charge"].payment_intent, stripe.PaymentIntent)


@pytest.mark.parametrize(
    "params",
    [
        {"limit": 0},
        {"limit": 101},
        {"limit": "many"},
        {"starting_after": "txn_nothing"},
        {"starting_after": "a", "ending_before": "b"},
        {"created": {"gte": "yesterday"}},
        {"created": {"after": 1}},
        {"colour": "amber"},
        {"expand": ["source"]},
        {"expand": ["data"]},
        {"expand": ["data.amount"]},
        {"expand": ["data.source.payment_intent.latest_charge.balance_transaction"]},
    ],
)
def test_it_rejects_contradictory_list_parameters(lenient: Sandbox, booked: list[str], params: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        in_process(lenient).v1.balance_transactions.list(params)
    assert refused.value.http_status == 400


def test_events_are_found_by_type_by_family_and_by_several(
    client: stripe.StripeClient, booked: list[str]
) -> None:
    def count(params: Any) -> int:
        return len(client.v1.events.list(params).data)

    assert count({"type": "charge.succeeded", "limit": 100}) == 10
    assert count({"type": "refund.*"}) == 2
    assert count({"type": "payout.*"}) == 0
    assert count({"types": ["charge.succeeded", "refund.created"], "limit": 100}) == 12
    event = client.v1.events.list({"type": "refund.created"}).data[0]
    assert client.v1.events.retrieve(event.id).data.to_dict() == event.data.to_dict()


def test_events_are_shown_for_thirty_days(
    client: stripe.StripeClient, booked: list[str], clock: Clock
) -> None:
    event = client.v1.events.list({"limit": 1}).data[0]
    clock.forward(31 * 86_400)
    assert client.v1.events.list().data == []
    with pytest.raises(stripe.InvalidRequestError) as missing:
        client.v1.events.retrieve(event.id)
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")
    assert len(client.v1.balance_transactions.list({"limit": 100}).data) == len(booked)


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("checkout.session", "/v1/checkout/sessions/cs_test_nothing"),
        ("payment_intent", "/v1/payment_intents/pi_nothing"),
        ("charge", "/v1/charges/ch_nothing"),
        ("refund", "/v1/refunds/re_nothing"),
        ("balance_transaction", "/v1/balance_transactions/txn_nothing"),
        ("event", "/v1/events/evt_nothing"),
    ],
)
def test_what_does_not_exist_is_missing(client: stripe.StripeClient, kind: str, path: str) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=f"No such {kind}") as missing:
        client.raw_request("get", path)
    assert (missing.value.http_status, missing.value.code, missing.value.param) == (
        404,
        "resource_missing",
        "id",
    )


def test_an_id_names_one_kind_of_object_only(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    charge = paid(client, sandbox)
    with pytest.raises(stripe.InvalidRequestError, match="No such refund"):
        client.v1.refunds.retrieve(charge.id)


def test_the_account_is_a_japanese_one(client: stripe.StripeClient) -> None:
    account = client.v1.accounts.retrieve_current()
    assert (account.country, account.default_currency, account.charges_enabled) == ("JP", "jpy", True)
