"""The webhook endpoint: real signatures over real JSON, posted to the real address."""

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from kikaku.sandbox import Sandbox
from ledger.ingest import inbox
from ledger.models import Order, Payment, StripeEvent
from ledger.models.orders import OrderStatus
from ledger.testing import build
from ledger.testing.threads import run_in_threads
from ledger.testing.webhooks import URL, event, post, sign

pytestmark = pytest.mark.django_db


@pytest.fixture
def succeeded(sandbox: Sandbox) -> Iterator[bytes]:
    """Return the body of a payment_intent.succeeded event of a pending order."""
    order = build.order()
    sandbox.pay(build.session_of(order))
    for delivery in sandbox.pending_deliveries():
        if json.loads(delivery.body)["type"] == "payment_intent.succeeded":
            yield delivery.body


def test_a_signed_event_is_stored_and_handled(client: Client, succeeded: bytes, settings: Settings) -> None:
    answer = post(client, succeeded, sign(succeeded, settings.STRIPE_WEBHOOK_SECRETS[0]))
    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    event = StripeEvent.objects.get()
    assert event.status == StripeEvent.Status.DONE
    assert event.payload == json.loads(succeeded)
    assert Order.objects.get().status == OrderStatus.PAID
    assert not answer.cookies


def test_the_stand_ins_own_signature_is_accepted(client: Client, sandbox: Sandbox) -> None:
    order = build.order()
    sandbox.pay(build.session_of(order))
    for delivery in sandbox.pending_deliveries():
        answer = post(client, delivery.body, delivery.headers["Stripe-Signature"])
        assert answer.status_code == 200
    order.refresh_from_db()
    assert order.status == OrderStatus.PAID


def test_while_secrets_rotate_both_are_accepted(client: Client, succeeded: bytes, settings: Settings) -> None:
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_new", "whsec_old"]
    assert post(client, succeeded, sign(succeeded, "whsec_old")).status_code == 200
    assert post(client, succeeded, sign(succeeded, "whsec_new")).status_code == 200


@pytest.mark.parametrize("signature", ["", "nonsense", "t=1,v1=00", "v1=abc"])
def test_a_wrong_signature_is_refused_and_stores_nothing(
    client: Client, succeeded: bytes, signature: str
) -> None:
    assert post(client, succeeded, signature).status_code == 400
    assert not StripeEvent.objects.exists()


def test_a_changed_body_is_refused(client: Client, succeeded: bytes, settings: Settings) -> None:
    signature = sign(succeeded, settings.STRIPE_WEBHOOK_SECRETS[0])
    assert post(client, succeeded.replace(b"11500", b"11501"), signature).status_code == 400
    assert not StripeEvent.objects.exists()


def test_an_old_signature_is_refused(client: Client, succeeded: bytes, settings: Settings) -> None:
    signature = sign(succeeded, settings.STRIPE_WEBHOOK_SECRETS[0], at=int(time.time()) - 301)
    assert post(client, succeeded, signature).status_code == 400


@pytest.mark.parametrize("live", [True, None, "false"])
def test_an_event_of_the_other_mode_is_refused(
    client: Client, succeeded: bytes, settings: Settings, live: object
) -> None:
    body = json.dumps(json.loads(succeeded) | {"livemode": live}).encode()
    answer = post(client, body, sign(body, settings.STRIPE_WEBHOOK_SECRETS[0]))
    assert answer.status_code == 400
    assert "livemode" in answer.json()["error"]
    assert not StripeEvent.objects.exists()


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"id": "evt_1"}', b'"text"'])
def test_a_signed_body_that_is_no_event_is_refused(client: Client, settings: Settings, body: bytes) -> None:
    signature = "t=1,v1=00"
    if body != b"\xff":
        signature = sign(body, settings.STRIPE_WEBHOOK_SECRETS[0])
    assert post(client, body, signature).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        event(created=10**30),
        event(created=-(10**15)),
        event(created=float("inf")),
        event(id="evt_\u0000"),
        event(id="evt_\ud800"),
        event(id="  "),
        event(id="evt_1" * 30),
        event(type=["refund.created"]),
        b"[" * 100_000,
    ],
    ids=lambda body: body[:40].decode(),
)
def test_a_signed_body_of_odd_values_is_refused_and_stores_nothing(
    client: Client, settings: Settings, body: bytes
) -> None:
    assert post(client, body, sign(body, settings.STRIPE_WEBHOOK_SECRETS[0])).status_code == 400
    assert not StripeEvent.objects.exists()


@pytest.mark.parametrize("text", ["a\u0000b", "\ud800"])
def test_text_that_not_every_database_can_keep_is_stored_or_refused(
    client: Client, settings: Settings, text: str
) -> None:
    body = event(data={"object": {"id": text}})
    answer = post(client, body, sign(body, settings.STRIPE_WEBHOOK_SECRETS[0]))
    assert (answer.status_code, StripeEvent.objects.count()) in ((200, 1), (400, 0))


def test_a_signature_that_is_not_ascii_is_refused(client: Client) -> None:
    assert post(client, event(), f"t={int(time.time())},v1=é").status_code == 400


def test_a_length_that_is_no_number_is_refused(client: Client) -> None:
    answer = client.post(URL, event(), content_type="application/json", CONTENT_LENGTH="many")
    assert answer.status_code == 400


def test_failing_events_do_not_block_later_ones(sandbox: Sandbox, settings: Settings) -> None:
    now = timezone.now()
    for number in range(3):
        body = event(id=f"evt_{number}", type="refund.created", data={"object": {}})
        inbox.receive(body, sign(body, settings.STRIPE_WEBHOOK_SECRETS[0]), now=now)
    assert inbox.process_pending(now=now, limit=3) == 0
    body = event(id="evt_later")
    inbox.receive(body, sign(body, settings.STRIPE_WEBHOOK_SECRETS[0]), now=now + timedelta(minutes=1))
    assert inbox.process_pending(now=now, limit=3) == 1


def test_a_body_above_one_megabyte_is_refused(client: Client, settings: Settings) -> None:
    body = b"{" + b" " * 1_000_001 + b"}"
    assert post(client, body, sign(body, settings.STRIPE_WEBHOOK_SECRETS[0])).status_code == 413


def test_only_post_is_answered(client: Client) -> None:
    assert client.get(URL).status_code == 405


def test_a_second_delivery_adds_no_event(client: Client, succeeded: bytes, settings: Settings) -> None:
    for _twice in range(2):
        assert post(client, succeeded, sign(succeeded, settings.STRIPE_WEBHOOK_SECRETS[0])).status_code == 200
    assert StripeEvent.objects.get().attempts == 1
    assert Payment.objects.count() == 1


def test_a_live_claim_is_answered_409_and_the_event_is_handled_later(
    client: Client, succeeded: bytes, settings: Settings
) -> None:
    now = timezone.now()
    signature = sign(succeeded, settings.STRIPE_WEBHOOK_SECRETS[0])
    event = inbox.receive(succeeded, signature, now=now)
    StripeEvent.objects.filter(pk=event.pk).update(claimed_until=now + timedelta(minutes=5), attempts=1)
    assert post(client, succeeded, signature).status_code == 409
    assert inbox.process_pending(now=now) == 0
    # the process that claimed it died: another claims it after the lease
    assert inbox.process_pending(now=now + timedelta(minutes=6)) == 1
    assert Order.objects.get().status == OrderStatus.PAID


def test_a_failed_event_is_handled_by_a_retry(client: Client, succeeded: bytes, settings: Settings) -> None:
    order = Order.objects.get()
    broken = json.loads(succeeded)
    status = broken["data"]["object"].pop("status")
    body = json.dumps(broken).encode()
    answer = post(client, body, sign(body, settings.STRIPE_WEBHOOK_SECRETS[0]))
    assert (answer.status_code, answer.json()["ok"]) == (200, False)
    event = StripeEvent.objects.get()
    assert (event.status, event.attempts, event.claimed_until) == (StripeEvent.Status.FAILED, 1, None)
    assert "status" in event.last_error
    assert not Payment.objects.exists()

    # the fault is repaired; Stripe sends the event again
    event.payload["data"]["object"]["status"] = status
    event.save(update_fields=["payload"])
    assert post(client, body, sign(body, settings.STRIPE_WEBHOOK_SECRETS[0])).status_code == 200
    order.refresh_from_db()
    event.refresh_from_db()
    assert order.status == OrderStatus.PAID
    assert (event.status, event.attempts, event.last_error) == (StripeEvent.Status.DONE, 2, "")


def test_a_failing_event_does_not_delay_the_others(sandbox: Sandbox, settings: Settings) -> None:
    first, second = build.order(), build.order()
    for order in (first, second):
        sandbox.pay(build.session_of(order))
    for delivery in sandbox.pending_deliveries():
        inbox.receive(delivery.body, delivery.headers["Stripe-Signature"], now=timezone.now())
    broken = StripeEvent.objects.filter(type="payment_intent.succeeded").order_by("pk")[0]
    broken.payload["data"]["object"] = {}
    broken.save(update_fields=["payload"])

    done = inbox.process_pending(now=timezone.now())
    assert done == StripeEvent.objects.count() - 1
    assert StripeEvent.objects.get(status=StripeEvent.Status.FAILED).pk == broken.pk
    assert Order.objects.filter(status=OrderStatus.PAID).count() == 2  # by the other events of the payments


def test_a_handler_that_lost_its_claim_writes_nothing(succeeded: bytes, settings: Settings) -> None:
    """Another process claimed the event after the lease: our writes are rolled back, its writes stay."""
    now = timezone.now()
    event = inbox.receive(succeeded, sign(succeeded, settings.STRIPE_WEBHOOK_SECRETS[0]), now=now)

    claimed = inbox.claim(event.pk, now=now)
    assert claimed is not None
    assert inbox.claim(event.pk, now=now + timedelta(minutes=6)) is not None
    with pytest.raises(inbox.LeaseLost):
        inbox.handle(claimed, now=now)
    event.refresh_from_db()
    assert event.status == StripeEvent.Status.PENDING
    assert not Payment.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_four_simultaneous_deliveries_of_an_event_are_handled_once(
    succeeded: bytes, settings: Settings
) -> None:
    signature = sign(succeeded, settings.STRIPE_WEBHOOK_SECRETS[0])

    def deliver() -> int:
        return int(post(Client(), succeeded, signature).status_code)

    statuses = run_in_threads(*[deliver] * 4)
    assert set(statuses) <= {200, 409}, statuses
    assert 200 in statuses
    assert StripeEvent.objects.get().attempts == 1
    assert Payment.objects.count() == 1
    assert Order.objects.get().mails.count() == 1


@pytest.mark.django_db(transaction=True)
def test_concurrent_events_of_a_payment_pay_the_order_once(sandbox: Sandbox) -> None:
    order = build.order()
    sandbox.pay(build.session_of(order))
    deliveries = sandbox.pending_deliveries()

    def deliver(body: bytes, signature: str) -> int:
        return int(post(Client(), body, signature).status_code)

    jobs = [partial(deliver, one.body, one.headers["Stripe-Signature"]) for one in deliveries]
    assert set(run_in_threads(*jobs)) == {200}
    order.refresh_from_db()
    assert order.status == OrderStatus.PAID
    payment = order.payments.get()
    assert (payment.brand, payment.last4) == ("visa", "4242")
    assert order.mails.count() == 1
