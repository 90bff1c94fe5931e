"""Answers that Stripe would not give: garbage, truncated, of wrong types. No call crashes on one."""

import json
import random
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from kikaku.sandbox import Request, Sandbox
from ledger.models import CheckoutAttempt, Refund
from ledger.sales import checkout, refunds
from ledger.sales.checkout import PaymentUnavailable
from ledger.sales.order_pages import absolute, order_pages
from ledger.stripe import client as stripe_client
from ledger.stripe import schema
from ledger.stripe.client import StripeRefused, StripeUnavailable
from ledger.testing import build
from ledger.testing.mutations import mutate

pytestmark = [pytest.mark.django_db, pytest.mark.engine_independent]


class GarblingServer(BaseHTTPRequestHandler):
    """Server in front of the stand-in: `garble` turns each answer (status, body) into another."""

    sandbox: Sandbox
    garble: Callable[[int, bytes], tuple[int, bytes]]
    missing_bytes = 0  # announced by Content-Length, but not sent
    protocol_version = "HTTP/1.0"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = self.sandbox.handle(
            Request(method=self.command, target=self.path, headers=dict(self.headers), body=body)
        )
        status, out = type(self).garble(answer.status, answer.body)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(out) + self.missing_bytes))
        self.end_headers()
        self.wfile.write(out)

    do_GET = do_POST

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def line(sandbox: Sandbox, settings: Settings) -> Iterator[type[GarblingServer]]:
    """Point the client to a server that at first changes nothing in the stand-in's answers."""
    sandbox.observer = None  # the answers are wrong by intent
    GarblingServer.sandbox, GarblingServer.garble, GarblingServer.missing_bytes = (
        sandbox,
        staticmethod(lambda s, b: (s, b)),
        0,
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), GarblingServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.STRIPE_API_BASE = f"http://127.0.0.1:{server.server_port}"
    yield GarblingServer
    server.shutdown()
    server.server_close()


def calls() -> dict[str, Callable[[], object]]:
    """Return every call of the client by name, about the paid order and the open one in the books."""
    refund = Refund.objects.get()
    attempt = CheckoutAttempt.objects.get(status=CheckoutAttempt.Status.OPEN)
    since, until = datetime(2026, 1, 1, tzinfo=UTC), timezone.now() + timedelta(days=1)
    pages = order_pages()
    addresses = {
        "success_url": absolute(pages.thanks(attempt.order)),
        "cancel_url": absolute(pages.order(attempt.order)),
    }
    return {
        "create_session": lambda: stripe_client.create_session(attempt, **addresses),
        "retrieve_session": lambda: stripe_client.retrieve_session(str(attempt.session_id)),
        "expire_session": lambda: stripe_client.expire_session(str(attempt.session_id)),
        "create_refund": lambda: stripe_client.create_refund(refund),
        "find_refund": lambda: stripe_client.find_refund(refund),
        "list_balance_transactions": lambda: list(stripe_client.list_balance_transactions(since, until)),
        "list_charges": lambda: list(stripe_client.list_charges(since, until)),
        "list_refunds": lambda: list(stripe_client.list_refunds(since, until)),
        "retrieve_charge": lambda: stripe_client.retrieve_charge(str(refund.payment.charge)),
        "retrieve_refund": lambda: stripe_client.retrieve_refund(str(refund.stripe_id)),
        "retrieve_balance": lambda: stripe_client.retrieve_balance(),
    }


GARBAGE: list[tuple[int, bytes]] = [
    (200, b""),
    (200, b"null"),
    (200, b"[]"),
    (200, b'"text"'),
    (200, b"5"),
    (200, b"{}"),
    (200, b'{"object": '),
    (200, b"<html><body>502 Bad Gateway</body></html>"),
    (200, b"\xff\xfe\x00"),
    (200, b'{"object": "list", "data": null, "has_more": false}'),
    (200, b'{"object": "list", "data": [], "has_more": true}'),
    (200, b'{"object": "list", "data": [{}], "has_more": true}'),
    (200, b'{"object": "list", "data": [1, null], "url": 5, "has_more": "x"}'),
    (200, b'{"object": "checkout.session", "id": 5}'),
    (200, b'{"object": ["balance"], "available": 5}'),
    (200, b'{"object": "balance", "available": [{"currency": "jpy", "amount": "1"}], "pending": []}'),
    (200, b"[" * 5000),
    (200, b'{"a": ' + b"9" * 6000 + b"}"),
    (204, b""),
    (302, b""),
    (400, b"<html>"),
    (400, b'{"error": "no"}'),
    (400, b'{"error": null}'),
    (402, b'{"error": {"type": 5, "code": {"a": 1}, "message": [1], "param": {}}}'),
    (404, b"{}"),
    (418, b'{"error": {}}'),
    (503, b"upstream connect error"),
]


@pytest.fixture
def genuine(line: type[GarblingServer], sandbox: Sandbox) -> dict[str, bytes]:
    """Make every call once and return the stand-in's answers by name."""
    build.refund(build.paid_order(sandbox), 300)
    build.session_of(build.order())
    kept: dict[str, bytes] = {}
    name = ""

    def keep(status: int, body: bytes) -> tuple[int, bytes]:
        kept[name] = body
        return status, body

    line.garble = staticmethod(keep)
    for name, call in calls().items():  # `keep` reads `name`
        if name != "expire_session":  # its answer is not read
            call()
    return kept


def test_garbage_counts_as_no_answer_to_any_call(
    line: type[GarblingServer], genuine: dict[str, bytes]
) -> None:
    for status, body in GARBAGE:
        line.garble = staticmethod(lambda _s, _b, answer=(status, body): answer)
        for name in genuine:
            with pytest.raises((StripeUnavailable, StripeRefused)) as raised:
                calls()[name]()
            if status < 400 or status >= 500:  # not a refusal
                assert isinstance(raised.value, StripeUnavailable), (name, status, body)


def test_a_truncated_answer_counts_as_no_answer(line: type[GarblingServer], sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    line.garble = staticmethod(lambda status, body: (status, body[: len(body) // 2]))
    line.missing_bytes = 500
    with pytest.raises(StripeUnavailable):
        stripe_client.retrieve_balance()
    refund = build.refund(order, 300)
    assert refund.status == Refund.Status.REQUESTED  # it may have succeeded: the job will ask
    line.garble, line.missing_bytes = staticmethod(lambda status, body: (status, body)), 0
    assert refunds.send_requested(now=timezone.now() + timedelta(minutes=5)) == {refunds.Sending.ACCEPTED: 1}
    refund.refresh_from_db()
    assert refund.status == Refund.Status.SUCCEEDED
    tomorrow = timezone.now() + timedelta(days=1)
    assert len(list(stripe_client.list_refunds(datetime(2026, 1, 1, tzinfo=UTC), tomorrow))) == 1


def test_a_customer_can_pay_after_an_answer_that_could_not_be_read(line: type[GarblingServer]) -> None:
    order = build.order()
    line.garble = staticmethod(
        lambda status, body: (status, body.replace(b'"url"', b'"uri"').replace(b'"id"', b'"ix"'))
    )
    with pytest.raises(PaymentUnavailable):
        checkout.start_payment(order, now=timezone.now())
    line.garble = staticmethod(lambda status, body: (status, body))
    assert checkout.start_payment(order, now=timezone.now()).startswith("http")
    assert order.attempts.count() == 1


@given(seed=st.integers(0, 2**32))
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_an_answer_with_odd_values_is_valid_or_counts_as_no_answer(
    seed: int, line: type[GarblingServer], genuine: dict[str, bytes]
) -> None:
    rng = random.Random(seed)
    name = rng.choice(sorted(genuine))
    answer: Any = json.loads(genuine[name])
    if answer["object"] == "list":
        answer["data"] = [altered(one, rng) for one in answer["data"]]
    else:
        answer = altered(answer, rng)
    line.garble = staticmethod(lambda _status, _body: (200, json.dumps(answer).encode()))
    try:
        result = calls()[name]()
    except StripeUnavailable:
        return
    for one in result if isinstance(result, list) else [result]:
        if isinstance(one, dict):  # every field that the code reads exists and has its type
            schema.check(one, one["object"])
            assert set(schema.SHAPES[one["object"]]) <= set(one)


def altered(value: Any, rng: random.Random) -> Any:
    """Return an object changed in one to three places."""
    changed = mutate({"data": {"object": value}}, rng).get("data")
    return changed.get("object") if isinstance(changed, dict) else changed
