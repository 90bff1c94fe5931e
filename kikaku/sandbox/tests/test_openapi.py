"""The validation against Stripe's document notices what it should."""

import json
from typing import Any

import pytest
import stripe

from kikaku.sandbox import Request, Sandbox
from kikaku.sandbox.openapi import Contract, ContractViolation
from kikaku.sandbox.testing.build import API_KEY, paid

KEY = {"Authorization": f"Bearer {API_KEY}"}


def test_the_document_has_the_version_of_the_stand_in(contract: Contract, sandbox: Sandbox) -> None:
    assert contract.version == sandbox.api_version


@pytest.mark.parametrize(
    ("target", "body", "message"),
    [
        ("/v1/checkout/sessions", b"discount[0][coupon]=x", "discount"),
        ("/v1/checkout/sessions", b"expires_at=soon", "soon"),
        ("/v1/checkout/sessions", b"mode=gift", "gift"),
        ("/v1/checkout/sessions", b"line_items[0][price_data][unit_amount]=1", "currency"),
        (
            "/v1/checkout/sessions",
            b"line_items[0][price_data][currency]=jpy&line_items[0][price_data][x]=1",
            "'x'",
        ),
        ("/v1/checkout/sessions", b"client_reference_id=" + b"x" * 201, "too long"),
        ("/v1/refunds?amount=1", b"", "amount"),
        ("/v1/refunds", b"reason=because", "because"),
        ("/v1/refund", b"", "Stripe has no POST /v1/refund"),
    ],
)
def test_it_notices_a_request_that_stripe_does_not_document(
    contract: Contract, target: str, body: bytes, message: str
) -> None:
    with pytest.raises(ContractViolation, match=message):
        contract.check_request("POST", target, body)


def test_it_accepts_a_request_that_stripe_documents(contract: Contract) -> None:
    contract.check_request(
        "POST",
        "/v1/checkout/sessions",
        b"mode=payment&expires_at=1780000000&line_items[0][quantity]=2&line_items[0][price_data][currency]=jpy"
        b"&metadata[order]=1&payment_method_types[]=card&expand[]=line_items&phone_number_collection[enabled]=true",
    )
    contract.check_request("GET", "/v1/events?created[gte]=5&types[]=a&types[]=b&delivery_success=false", b"")
    contract.check_request("GET", "/v1/events?created=5&limit=100", b"")


def _changed(document: dict[str, Any], path: str, value: Any) -> bytes:
    copy = json.loads(json.dumps(document))
    *way, last = path.split(".")
    target = copy
    for name in way:
        target = target[name]
    if value is None and last in target:
        del target[last]
    else:
        target[last] = value
    return json.dumps(copy).encode()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("amount", "12130"),
        ("amount", None),
        ("status", "paid"),
        ("colour", "amber"),
        ("payment_method_details.card.colour", "amber"),
        ("payment_method_details.card.exp_year", "2034"),
        ("outcome.type", None),
        ("balance_transaction.net", None),
        ("balance_transaction.fee_details", [{"amount": 1}]),
        ("balance_transaction.gross", 1),
    ],
)
def test_it_notices_an_answer_that_stripe_would_not_give(
    contract: Contract, client: stripe.StripeClient, sandbox: Sandbox, path: str, value: Any
) -> None:
    target = f"/v1/charges/{paid(client, sandbox).id}?expand[]=balance_transaction"
    answer = sandbox.handle(Request("GET", target, KEY, b""))
    contract.check_response("GET", target, 200, answer.body)
    with pytest.raises(ContractViolation):
        contract.check_response("GET", target, 200, _changed(json.loads(answer.body), path, value))


def test_it_notices_an_error_and_an_event_of_a_wrong_shape(
    contract: Contract, client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    for wrong in (b"{}", b'{"error": {"message": "x"}}', b'{"error": {"type": "bad_luck"}}', b"<html>"):
        with pytest.raises(ContractViolation):
            contract.check_response("GET", "/v1/charges", 400, wrong)
    paid(client, sandbox)
    event = json.loads(sandbox.pending_deliveries()[1].body)
    contract.check_event(json.dumps(event).encode())
    for path, value in (
        ("type", "refund.created"),
        ("data.object.amount", "1"),
        ("data.object.colour", "amber"),
        ("data.previous_attributes", {"colour": "amber"}),
        ("request.colour", "amber"),
        ("livemode", "false"),
    ):
        with pytest.raises(ContractViolation):
            contract.check_event(_changed(event, path, value))


def test_it_lets_the_hosted_page_pass(contract: Contract, sandbox: Sandbox) -> None:
    request = Request("GET", "/c/pay/cs_test_nothing", {}, b"")
    contract.observe(request, sandbox.handle(request))
