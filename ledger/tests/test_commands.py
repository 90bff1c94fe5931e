"""The management commands that run the jobs by hand."""

import socket
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from kikaku.sandbox import Sandbox
from ledger.models import Order, OutgoingMail, StripeEvent
from ledger.models.orders import OrderStatus
from ledger.testing import build

pytestmark = pytest.mark.django_db


def test_pending_events_are_processed_and_failing_ones_are_named(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    order = build.paid_order(sandbox)
    Order.objects.filter(pk=order.pk).update(status=OrderStatus.PENDING)
    StripeEvent.objects.update(status=StripeEvent.Status.PENDING)
    call_command("process_stripe_events")
    assert "0 left" in capsys.readouterr().out

    broken = StripeEvent.objects.get(type="payment_intent.succeeded")
    broken.status, broken.payload = StripeEvent.Status.FAILED, {"data": {"object": {}}}
    broken.save()
    with pytest.raises(SystemExit) as end:
        call_command("process_stripe_events")
    assert end.value.code == 1
    assert broken.pk in capsys.readouterr().err


def test_abandoned_checkouts_expire(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    order = build.order(now=timezone.now() - timedelta(hours=1))
    call_command("expire_checkouts")
    order.refresh_from_db()
    assert order.status == OrderStatus.CANCELLED
    assert "1 unpaid" in capsys.readouterr().out


def test_due_mails_are_sent(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    build.paid_order(sandbox)
    call_command("send_mail")
    assert "1 mails sent, 0 queued" in capsys.readouterr().out
    assert OutgoingMail.objects.get().status == OutgoingMail.Status.SENT


def test_the_stand_in_is_refused_in_production_and_with_a_stripe_key(settings: Settings) -> None:
    settings.PRODUCTION = True
    with pytest.raises(CommandError, match="production"):
        call_command("stripe_sandbox")
    settings.PRODUCTION, settings.SANDBOX = False, False
    with pytest.raises(CommandError, match="STRIPE_SECRET_KEY"):
        call_command("stripe_sandbox")


def test_a_port_in_use_is_reported(settings: Settings) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(CommandError, match="Choose another"),
    ):
        call_command("stripe_sandbox", port=taken.getsockname()[1])


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(CommandError, match="1 or more"):
        call_command("process_stripe_events", limit=-1)
