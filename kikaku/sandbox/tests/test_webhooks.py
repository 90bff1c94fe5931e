"""Webhooks: signed like Stripe's, retried until they are accepted or three days are over."""

import json
import socket
import threading
import time
from pathlib import Path

import pytest
import stripe
from pytest_httpserver import HTTPServer
from werkzeug import Request as ReceivedRequest
from werkzeug import Response as Reply

from kikaku.sandbox import Delivery, Sandbox
from kikaku.sandbox.openapi import Contract
from kikaku.sandbox.server import running
from kikaku.sandbox.testing.build import Clock, in_process, new_session, over_socket, paid

SECRET = "whsec_sandbox"


class Receiver:
    """A webhook endpoint that records verified events and answers with a given status."""

    def __init__(self, server: HTTPServer) -> None:
        self.events: list[str] = []
        self.answers: list[int] = []
        self._lock = threading.Lock()
        self.url = server.url_for("/webhooks/stripe?x=1")
        server.expect_request("/webhooks/stripe", method="POST").respond_with_handler(self._receive)

    def _receive(self, request: ReceivedRequest) -> Reply:
        event = stripe.Webhook.construct_event(
            request.get_data(), request.headers["Stripe-Signature"], SECRET
        )
        with self._lock:
            self.events.append(event.type)
            return Reply(status=self.answers.pop(0) if self.answers else 200)


def _verified(delivery: Delivery, secret: str = SECRET) -> stripe.Event:
    event = stripe.Webhook.construct_event(delivery.body, delivery.headers["Stripe-Signature"], secret)
    assert isinstance(event, stripe.Event)
    return event


def test_every_event_is_signed_and_as_documented(
    client: stripe.StripeClient, sandbox: Sandbox, clock: Clock, contract: Contract
) -> None:
    for card in ("4242424242424242", "4000000000005126", "4000000000007726"):
        charge = paid(client, sandbox, card=card, payment_intent_data={"capture_method": "automatic_async"})
        client.v1.refunds.create({"charge": charge.id, "amount": 100})
    for card in ("4000000000000002", "4000002760003184"):
        sandbox.pay(new_session(client).id, card=card)
    clock.forward(90_000)
    deliveries = sandbox.pending_deliveries()
    seen = set()
    for delivery in deliveries:
        contract.check_event(delivery.body)
        event = _verified(delivery)
        assert (event.id, event.livemode, event.api_version) == (
            delivery.event_id,
            False,
            sandbox.api_version,
        )
        assert event.pending_webhooks == 1
        seen.add(event.type)
    assert seen == {
        "charge.failed",
        "charge.refunded",
        "charge.succeeded",
        "charge.updated",
        "checkout.session.completed",
        "checkout.session.expired",
        "payment_intent.canceled",
        "payment_intent.created",
        "payment_intent.payment_failed",
        "payment_intent.requires_action",
        "payment_intent.succeeded",
        "refund.created",
        "refund.failed",
        "refund.updated",
    }


def test_a_signature_holds_only_for_its_secret_and_body(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    paid(client, sandbox)
    delivery = sandbox.pending_deliveries()[0]
    with pytest.raises(stripe.SignatureVerificationError):
        _verified(delivery, "whsec_other")
    with pytest.raises(stripe.SignatureVerificationError):
        _verified(Delivery(delivery.event_id, delivery.body.replace(b"12130", b"12131"), delivery.headers))


def test_an_accepted_event_is_not_delivered_again(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    paid(client, sandbox)
    deliveries = sandbox.pending_deliveries()
    assert json.loads(deliveries[0].body)["type"] == "payment_intent.created" and len(deliveries) == 4
    sandbox.mark_delivered(deliveries[0].event_id, 204)
    assert [d.event_id for d in sandbox.pending_deliveries()] == [d.event_id for d in deliveries[1:]]
    assert client.v1.events.retrieve(deliveries[0].event_id).pending_webhooks == 0
    assert client.v1.events.retrieve(deliveries[1].event_id).pending_webhooks == 1
    with pytest.raises(KeyError, match="evt_nothing"):
        sandbox.mark_delivered("evt_nothing", 200)


@pytest.mark.parametrize("status", [0, 302, 400, 409, 500])
def test_a_failed_delivery_is_tried_again_with_growing_delays_for_three_days(
    client: stripe.StripeClient, sandbox: Sandbox, clock: Clock, status: int
) -> None:
    new_session(client, expires_at=int(clock.now) + 1800)
    clock.forward(1800)
    gaps: list[float] = []
    last = clock.now
    begun = clock.now
    while clock.now < begun + 5 * 86_400:
        for delivery in sandbox.pending_deliveries():
            gaps.append(clock.now - last)
            last = clock.now
            sandbox.mark_delivered(delivery.event_id, status)
        clock.forward(1 if clock.now < begun + 60 else 60)
    assert gaps[:5] == [0, 2, 4, 8, 15]
    assert gaps == sorted(gaps) and gaps[-1] >= 3 * 3600
    assert 2.5 * 86_400 < last - begun <= 3 * 86_400
    assert sandbox.pending_deliveries() == []


def test_it_posts_to_the_endpoint_and_retries_what_was_refused(
    client: stripe.StripeClient, sandbox: Sandbox, clock: Clock, httpserver: HTTPServer
) -> None:
    receiver = Receiver(httpserver)
    receiver.answers = [500, 200, 200, 409]
    sandbox.webhook_url = receiver.url
    paid(client, sandbox)
    assert sandbox.deliver_due() == 2
    assert sandbox.deliver_due() == 0
    clock.forward(3)
    assert sandbox.deliver_due() == 2
    assert receiver.events[4:] == ["payment_intent.created", "checkout.session.completed"]
    clock.forward(1000)
    assert sandbox.deliver_due() == 0 and len(receiver.events) == 6


def test_two_servers_do_not_deliver_an_event_twice(
    client: stripe.StripeClient, sandbox: Sandbox, httpserver: HTTPServer
) -> None:
    receiver = Receiver(httpserver)
    sandbox.webhook_url = receiver.url
    for _ in range(3):
        paid(client, sandbox)

    def deliver() -> None:
        sandbox.deliver_due()
        sandbox.close()

    threads = [threading.Thread(target=deliver) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(receiver.events) == 12 and sandbox.pending_deliveries() == []


def test_a_shop_that_is_down_gets_its_events_when_it_is_back(
    client: stripe.StripeClient, sandbox: Sandbox, clock: Clock, httpserver: HTTPServer
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        sandbox.webhook_url = f"http://127.0.0.1:{unused.getsockname()[1]}/webhooks/stripe"
        paid(client, sandbox)
        assert sandbox.deliver_due() == 0
    assert len(sandbox.pending_deliveries()) == 3, "the round ends at the first that gets no answer"
    receiver = Receiver(httpserver)
    sandbox.webhook_url = receiver.url
    clock.forward(5)
    assert sandbox.deliver_due() == 4


def test_the_server_delivers_events(tmp_path: Path, httpserver: HTTPServer) -> None:
    receiver = Receiver(httpserver)
    receiver.answers = [503]
    sandbox = Sandbox(tmp_path / "state", webhook_url=receiver.url)
    with running(sandbox) as address:
        client = over_socket(address)
        paid(client, sandbox)
        deadline = time.monotonic() + 20
        while len(receiver.events) < 5 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert sorted(receiver.events) == sorted(
        ["payment_intent.created", "payment_intent.created", "charge.succeeded", "payment_intent.succeeded",
         "checkout.session.completed"]
    )  # fmt: skip
    sandbox.close()


def test_without_an_endpoint_events_are_only_stored(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    paid(client, sandbox)
    assert sandbox.deliver_due() == 0 and len(sandbox.pending_deliveries()) == 4


def test_it_refuses_an_endpoint_that_is_not_an_address(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ftp://x"):
        Sandbox(tmp_path / "state", webhook_url="ftp://x")
    with pytest.raises(ValueError, match="secret"):
        Sandbox(tmp_path / "state", webhook_secret="")


def test_a_client_sees_no_difference_between_socket_and_process(
    wire_client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    session = new_session(wire_client)
    assert in_process(sandbox).v1.checkout.sessions.retrieve(session.id) == session
