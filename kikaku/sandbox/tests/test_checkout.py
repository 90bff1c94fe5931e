"""Checkout Sessions as the shop creates and expires them."""

from typing import Any

import pytest
import stripe

from kikaku.sandbox import Sandbox, SessionNotOpen
from kikaku.sandbox.testing.build import Clock, event_types, in_process, new_session, session_params


def test_a_new_session_is_open_unpaid_and_has_no_intent_yet(client: stripe.StripeClient) -> None:
    session = new_session(client)
    assert (session.status, session.payment_status, session.payment_intent) == ("open", "unpaid", None)
    assert (session.amount_total, session.currency, session.livemode) == (12_130, "jpy", False)
    assert session.url == f"http://127.0.0.1:8001/c/pay/{session.id}"
    assert session.id.startswith("cs_test_") and len(session.id) <= 66
    assert session.metadata is not None and session.metadata["order"] == "A-1001"
    assert client.v1.checkout.sessions.retrieve(session.id) == session


def test_it_adds_up_lines_and_lists_them_in_order(client: stripe.StripeClient) -> None:
    lines = [
        {
            "quantity": n,
            "price_data": {"currency": "JPY", "unit_amount": 100 * n, "product_data": {"name": f"灯 {n}"}},
        }
        for n in range(1, 13)
    ]
    session = new_session(client, line_items=lines)
    assert session.amount_total == sum(100 * n * n for n in range(1, 13))
    items = client.v1.checkout.sessions.line_items.list
    first = items(session.id)
    assert [item.description for item in first.data] == [f"灯 {n}" for n in range(1, 11)]
    assert first.has_more
    rest = items(session.id, {"starting_after": first.data[-1].id})
    assert ([item.quantity for item in rest.data], rest.has_more) == ([11, 12], False)
    before = items(session.id, {"ending_before": first.data[2].id, "limit": 1})
    assert ([item.quantity for item in before.data], before.has_more) == ([2], True)


def test_it_expands_lines_down_to_the_product(client: stripe.StripeClient) -> None:
    session = new_session(client, expand=["line_items.data.price.product"])
    assert session.line_items is not None
    price = session.line_items.data[0].price
    assert price is not None and not isinstance(price.product, str)
    assert getattr(price.product, "name", None) == "シーリングライト 8畳"


def _with_line(**price_data: Any) -> dict[str, Any]:
    data = {"currency": "jpy", "unit_amount": 500, "product_data": {"name": "灯"}, **price_data}
    return {"line_items": [{"quantity": 1, "price_data": {k: v for k, v in data.items() if v is not None}}]}


def _konbini(options: dict[str, Any]) -> dict[str, Any]:
    return {"payment_method_types": ["card", "konbini"], "payment_method_options": {"konbini": options}}


_DAYS = "payment_method_options[konbini][expires_after_days]"


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"discounts": [{"coupon": "X"}]}, "parameter_unknown", "discounts"),
        ({"shipping_options": [{"shipping_rate": "x"}]}, "parameter_unknown", "shipping_options"),
        (
            _with_line(recurring={"interval": "day"}),
            "parameter_unknown",
            "line_items[0][price_data][recurring]",
        ),
        (_with_line(currency=None), "parameter_missing", "line_items[0][price_data][currency]"),
        (_with_line(currency="usd"), None, "line_items[0][price_data][currency]"),
        (
            _with_line(unit_amount="1.5"),
            "parameter_invalid_integer",
            "line_items[0][price_data][unit_amount]",
        ),
        (_with_line(unit_amount=-1), "parameter_invalid_integer", "line_items[0][price_data][unit_amount]"),
        (_with_line(unit_amount=49), "amount_too_small", None),
        (_with_line(product_data=None), "parameter_missing", "line_items[0][price_data][product_data]"),
        (
            _with_line(product_data={"name": ""}),
            "parameter_invalid_empty",
            "line_items[0][price_data][product_data][name]",
        ),
        ({"line_items": []}, "parameter_missing", "line_items"),
        ({"mode": "subscription"}, None, "mode"),
        ({"mode": "gift"}, None, "mode"),
        ({"locale": "tlh"}, None, "locale"),
        ({"customer_email": "nobody"}, "email_invalid", "customer_email"),
        ({"client_reference_id": "x" * 201}, "parameter_invalid_string_length", "client_reference_id"),
        ({"success_url": "javascript:alert(1)"}, "url_invalid", "success_url"),
        ({"cancel_url": "http://user@127.0.0.1:8000/"}, "url_invalid", "cancel_url"),
        ({"payment_method_types": ["card", "oxxo"]}, None, "payment_method_types[1]"),
        ({"payment_method_types": ["card", "card"]}, None, "payment_method_types[1]"),
        (
            {"payment_method_options": {"konbini": {"expires_after_days": 3}}},
            None,
            "payment_method_options[konbini]",
        ),
        (_konbini({"expires_after_days": 0}), "parameter_invalid_integer", _DAYS),
        (_konbini({"expires_after_days": 61}), "parameter_invalid_integer", _DAYS),
        (
            _konbini({"setup_future_usage": "none"}),
            "parameter_unknown",
            "payment_method_options[konbini][setup_future_usage]",
        ),
        ({"payment_intent_data": {"capture_method": "manual"}}, None, "payment_intent_data[capture_method]"),
        ({"metadata": {"k" * 41: "v"}}, None, f"metadata[{'k' * 40}]"),
        ({"metadata": {"k": "v" * 501}}, None, "metadata[k]"),
        ({"metadata": {f"k{n}": "v" for n in range(51)}}, None, "metadata"),
        ({"expand": ["amount_total"]}, None, "expand"),
    ],
)
def test_it_rejects_what_stripe_rejects(
    lenient: Sandbox, change: dict[str, Any], code: str | None, param: str | None
) -> None:
    client = in_process(lenient)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.checkout.sessions.create(session_params(**change))
    assert (refused.value.http_status, refused.value.code, refused.value.param) == (400, code, param)
    assert client.v1.checkout.sessions.list().data == [] and event_types(client) == []


def test_the_largest_amount_is_eight_digits(lenient: Sandbox) -> None:
    client = in_process(lenient)
    assert new_session(client, 99_999_999).amount_total == 99_999_999
    line = session_params(99_999_999)["line_items"][0]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        new_session(client, line_items=[line, line])
    assert refused.value.code == "amount_too_large"


def test_the_smallest_amount_is_fifty_yen(client: stripe.StripeClient) -> None:
    assert new_session(client, 50).amount_total == 50


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:8000.evil.example", "https://127.0.0.1:8000", "http://evil.example"]
)
def test_it_returns_customers_only_to_the_shop(lenient: Sandbox, origin: str) -> None:
    lenient.return_origins = ("http://127.0.0.1:8000",)
    client = in_process(lenient)
    assert new_session(client).status == "open"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        new_session(client, cancel_url=origin + "/")
    assert refused.value.param == "cancel_url"


@pytest.mark.parametrize(
    ("seconds", "allowed"), [(1799, False), (1800, True), (86_400, True), (86_401, False)]
)
def test_a_session_lives_between_thirty_minutes_and_a_day(
    client: stripe.StripeClient, clock: Clock, seconds: int, allowed: bool
) -> None:
    expires_at = int(clock.now) + seconds
    if allowed:
        assert new_session(client, expires_at=expires_at).expires_at == expires_at
    else:
        with pytest.raises(stripe.InvalidRequestError) as refused:
            new_session(client, expires_at=expires_at)
        assert refused.value.param == "expires_at"


def test_by_default_it_expires_after_a_day(client: stripe.StripeClient, clock: Clock) -> None:
    assert new_session(client).expires_at == int(clock.now) + 86_400


def test_a_session_expires_at_its_time_with_an_event(
    client: stripe.StripeClient, sandbox: Sandbox, clock: Clock
) -> None:
    session = new_session(client, expires_at=int(clock.now) + 1800)
    clock.forward(1799)
    assert sandbox.expire_due() == 0
    assert client.v1.checkout.sessions.retrieve(session.id).status == "open"
    clock.forward(100)
    assert sandbox.expire_due() == 1
    expired = client.v1.checkout.sessions.retrieve(session.id)
    assert (expired.status, expired.url, expired.payment_status) == ("expired", None, "unpaid")
    (event,) = client.v1.events.list().data
    assert (event.type, event.created) == ("checkout.session.expired", session.expires_at)
    with pytest.raises(SessionNotOpen, match="expired"):
        sandbox.pay(session.id)


def test_only_an_open_session_can_be_expired(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    session = new_session(client)
    assert client.v1.checkout.sessions.expire(session.id).status == "expired"
    with pytest.raises(stripe.InvalidRequestError, match="`expired`"):
        client.v1.checkout.sessions.expire(session.id)
    complete = new_session(client)
    sandbox.pay(complete.id)
    with pytest.raises(stripe.InvalidRequestError, match="`complete`"):
        client.v1.checkout.sessions.expire(complete.id)
    assert event_types(client).count("checkout.session.expired") == 1


def test_expiring_after_a_declined_try_cancels_the_intent(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    session = new_session(client)
    declined = sandbox.pay(session.id, card="4000000000000002")
    client.v1.checkout.sessions.expire(session.id)
    assert declined.payment_intent is not None
    intent = client.v1.payment_intents.retrieve(declined.payment_intent)
    assert (intent.status, intent.cancellation_reason) == ("canceled", "expired")
    assert event_types(client)[-2:] == ["payment_intent.canceled", "checkout.session.expired"]


def test_sessions_are_listed_by_status_intent_and_email(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    open_one = new_session(client)
    result = sandbox.pay(new_session(client, customer_email="taro@example.jp").id)
    sessions = client.v1.checkout.sessions.list
    assert [s.id for s in sessions({"status": "open"}).data] == [open_one.id]
    assert [s.id for s in sessions({"payment_intent": result.payment_intent or ""}).data] == [
        result.session_id
    ]
    assert [s.id for s in sessions({"customer_details": {"email": "taro@example.jp"}}).data] == [
        result.session_id
    ]
