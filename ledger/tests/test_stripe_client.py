"""The Stripe client: its requests, timeouts and errors."""

import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from django.conf import settings as project
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from kikaku.money import REDUCED, STANDARD
from kikaku.sandbox import Request, Response, Sandbox, adapter
from kikaku.testing import engine_missing
from ledger.models import Refund
from ledger.sales import refund_requests
from ledger.stripe import client as stripe_client
from ledger.stripe.client import StripeRefused, StripeUnavailable
from ledger.testing import build

pytestmark = [pytest.mark.django_db, pytest.mark.engine_independent]
HOME = f"{project.STOREFRONT_BASE_URL}/"


def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form-encoded request."""
    return {
        name: values[0] for name, values in parse_qs(request.body.decode(), keep_blank_values=True).items()
    }


@pytest.fixture
def traffic(sandbox: Sandbox) -> list[Request]:
    """Return the list that collects the requests to Stripe after the one that asks whose the key is."""
    seen: list[Request] = []

    def note(request: Request, response: Response) -> None:
        if request.target != "/v1/account":
            seen.append(request)

    sandbox.observer = note
    return seen


def charged(form: dict[str, str]) -> int:
    """Return the amount that Stripe will charge."""
    total, position = 0, 0
    while f"line_items[{position}][quantity]" in form:
        unit = int(form[f"line_items[{position}][price_data][unit_amount]"])
        total += unit * int(form[f"line_items[{position}][quantity]"])
        position += 1
    return total


def test_the_session_has_the_orders_data(sandbox: Sandbox, traffic: list[Request]) -> None:
    order = build.worked_order()
    build.session_of(order)
    attempt = order.attempts.get()
    form = form_of(traffic[0])
    assert charged(form) == 12_130  # yen, not × 100
    assert form["mode"] == "payment"
    assert form["locale"] == "ja"
    assert form["customer_email"] == "hanako@example.jp"
    assert form["client_reference_id"] == order.number
    assert form["expires_at"] == str(int(attempt.expires_at.timestamp()))
    assert form["payment_intent_data[capture_method]"] == "automatic"
    for prefix in ("metadata", "payment_intent_data[metadata]"):
        assert form[f"{prefix}[order]"] == order.number
        assert form[f"{prefix}[attempt]"] == str(attempt.pk)
    assert form["success_url"] == f"{project.STOREFRONT_BASE_URL}/orders/{order.token}/thanks/"
    assert form["cancel_url"] == f"{project.STOREFRONT_BASE_URL}/orders/{order.token}/"
    assert form["line_items[2][price_data][product_data][name]"] == "送料"
    assert {form[f"line_items[{at}][price_data][currency]"] for at in range(3)} == {"jpy"}
    assert traffic[0].header("Stripe-Version") == project.STRIPE_API_VERSION
    assert traffic[0].header("Idempotency-Key") == attempt.idempotency_key


def test_an_english_order_is_paid_in_english(sandbox: Sandbox, traffic: list[Request]) -> None:
    order = build.order([build.line(title="Ceiling light")], language="en")
    build.session_of(order)
    form = form_of(traffic[0])
    assert form["locale"] == "en"
    assert "/en/orders/" in form["success_url"]
    assert form["line_items[1][price_data][product_data][name]"] == "Shipping fee"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(
        st.tuples(st.integers(1, 50_000), st.integers(1, 9), st.sampled_from([STANDARD, REDUCED])),
        min_size=1,
        max_size=5,
    ),
    part=st.integers(0, 100),
    shipping=st.sampled_from([0, 500]),
)
def test_stripe_charges_the_orders_total_to_the_yen(
    sandbox: Sandbox, traffic: list[Request], lines: list[tuple[int, int, str]], part: int, shipping: int
) -> None:
    goods = sum(price * quantity for price, quantity, _class in lines)
    discount = (goods - 50) * part // 100 if goods > 50 else 0
    if goods + shipping < 50:
        return
    order = build.order(
        [
            build.line(f"S{at}", price=price, quantity=quantity, tax_class=tax_class, on_hand=10_000)
            for at, (price, quantity, tax_class) in enumerate(lines)
        ],
        discount=discount,
        shipping_fee=shipping,
    )
    traffic.clear()
    build.session_of(order)
    assert charged(form_of(traffic[0])) == order.total


def test_requests_and_answers_conform_to_stripes_openapi_document(sandbox: Sandbox) -> None:
    if not (Path(project.BASE_DIR) / "var/stripe/spec3.json").exists():
        engine_missing("Stripe's OpenAPI document: `python scripts/stripe_spec.py` fetches it")
    from kikaku.sandbox.openapi import Contract

    contract = Contract()
    checked = 0

    def check(request: Request, response: Response) -> None:
        nonlocal checked
        contract.check_request(request.method, request.target, request.body)
        contract.check_response(request.method, request.target, response.status, response.body)
        checked += 1

    sandbox.observer = check
    order = build.paid_order(
        sandbox, [build.line("A", quantity=2), build.line("B", tax_class="reduced")], discount=333
    )
    refund = build.refund(order, 1_000)
    assert stripe_client.find_refund(refund) is not None
    abandoned = build.order([build.line("C")])
    session = build.session_of(abandoned)
    stripe_client.retrieve_session(session)
    stripe_client.expire_session(session)
    with pytest.raises(StripeRefused):
        stripe_client.expire_session(session)
    now = timezone.now()
    around = (now - timedelta(hours=1), now + timedelta(hours=1))
    assert len(list(stripe_client.list_balance_transactions(*around))) == 2
    assert len(list(stripe_client.list_charges(*around))) == 1
    assert len(list(stripe_client.list_refunds(*around))) == 1
    stripe_client.retrieve_charge(str(order.payments.get().charge))
    assert stripe_client.retrieve_balance() > 0
    assert checked >= 10


def test_lists_are_read_to_the_last_page(sandbox: Sandbox, traffic: list[Request]) -> None:
    for number in range(3):
        order = build.paid_order(sandbox, [build.line(f"P{number}", price=20_000)])
        intent = order.payments.get().payment_intent
        for _part in range(40):
            stripe_client.client().v1.refunds.create({"payment_intent": intent, "amount": 100})
    now = timezone.now()
    traffic.clear()
    found = list(stripe_client.list_balance_transactions(now - timedelta(hours=1), now + timedelta(hours=1)))
    assert len(found) == len({txn["id"] for txn in found}) == 123
    assert len(traffic) == 2
    assert sum(txn["net"] for txn in found) == stripe_client.retrieve_balance()


class TroubledServer(BaseHTTPRequestHandler):
    """Server that answers from a queue of (seconds to wait, status, body), and says whose the key is."""

    answers: list[tuple[float, int, bytes]] = []
    keys: list[str | None] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/v1/account":
            wait, status, body = 0.0, 200, b'{"id": "acct_1", "object": "account"}'
        else:
            self.keys.append(self.headers.get("Idempotency-Key"))
            wait, status, body = self.answers.pop(0)
        time.sleep(wait)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def troubled(settings: Settings) -> Iterator[type[TroubledServer]]:
    """Point the client to a server whose answers the test chooses."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), TroubledServer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    settings.STRIPE_API_BASE = f"http://127.0.0.1:{server.server_port}"
    TroubledServer.answers, TroubledServer.keys = [], []
    yield TroubledServer
    server.shutdown()
    server.server_close()


def error(kind: str, code: str = "", message: str = "No.") -> bytes:
    return json.dumps({"error": {"type": kind, "code": code, "message": message}}).encode()


def test_a_server_error_is_retried_with_the_same_idempotency_key(troubled: type[TroubledServer]) -> None:
    order = build.order()
    attempt = order.attempts.create(
        idempotency_key="key-1", created_at=timezone.now(), expires_at=timezone.now() + timedelta(minutes=35)
    )
    troubled.answers = [(0, 500, error("api_error"))] * 3
    with pytest.raises(StripeUnavailable):
        stripe_client.create_session(attempt, success_url=HOME, cancel_url=HOME)
    assert troubled.keys == ["key-1"] * 2  # one attempt and one retry, since the customer is waiting


def test_a_call_without_an_answer_ends_at_the_timeout(troubled: type[TroubledServer]) -> None:
    assert stripe_client.CALL_TIMEOUT == (5.0, 10.0)
    fast = stripe_client.network_client(
        "sk_test_x", project.STRIPE_API_VERSION, project.STRIPE_API_BASE, (0.2, 0.2), 0
    )
    troubled.answers = [(1.0, 200, b"{}")]
    began = time.monotonic()
    with pytest.raises(StripeUnavailable), stripe_client.translated_errors():
        fast.v1.balance.retrieve()
    assert time.monotonic() - began < 0.9


def test_a_wrong_key_counts_as_unavailable_and_is_not_logged(
    troubled: type[TroubledServer], settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.STRIPE_SECRET_KEY = "sk_test_verysecretverysecret"
    troubled.answers = [
        (0, 401, error("invalid_request_error", message="Invalid API Key: sk_test_verysecretverysecret"))
    ]
    with caplog.at_level("DEBUG"), pytest.raises(StripeUnavailable) as trouble:
        stripe_client.retrieve_balance()
    assert "verysecret" not in str(trouble.value) + caplog.text


def test_a_refusal_has_stripes_code(troubled: type[TroubledServer], sandbox: Sandbox) -> None:
    troubled.answers = [(0, 400, error("invalid_request_error", "charge_already_refunded", "Already."))]
    with pytest.raises(StripeRefused) as refusal:
        stripe_client.retrieve_session("cs_1")
    assert (refusal.value.code, refusal.value.message) == ("charge_already_refunded", "Already.")


def test_the_stand_in_is_off_with_a_key_of_stripe(settings: Settings) -> None:
    settings.SANDBOX = False
    with pytest.raises(RuntimeError):
        adapter.sandbox()


def test_the_stand_in_over_http_and_in_process_share_their_state(
    sandbox: Sandbox, settings: Settings
) -> None:
    from kikaku.sandbox.server import running

    order = build.paid_order(sandbox)
    with running(sandbox, 0) as address:
        settings.STRIPE_API_BASE = address
        refund = build.refund(order, 300)
        assert refund.status == Refund.Status.SUCCEEDED
        settings.STRIPE_API_BASE = ""
    assert stripe_client.find_refund(refund) is not None
    assert refund_requests.refundable_amount(order.payments.get()) == order.total - 300
