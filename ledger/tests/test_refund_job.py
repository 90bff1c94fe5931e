"""The job of the refunds: each of them ends, and while Stripe is away nothing is lost."""

import logging
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from kikaku.sandbox import Sandbox
from ledger.models import Discrepancy, Payment, Refund
from ledger.sales import refunds
from ledger.sales.refunds import Sending
from ledger.stripe import client as stripe_client
from ledger.stripe.client import StripeRefused
from ledger.testing import build
from ledger.testing.closing import MONDAY, at, set_clock
from ledger.testing.konbini import assert_no_findings, order_with_voucher, pay

NOWHERE = "http://127.0.0.1:9"


@pytest.mark.django_db
def test_a_refund_of_a_payment_that_stripe_does_not_know_is_sent_and_ended_by_the_refusal(
    sandbox: Sandbox, settings: Settings
) -> None:
    order = build.paid_order(sandbox)
    build.fetch(sandbox)
    settings.STRIPE_API_BASE = NOWHERE
    refund = build.refund(order, 1_000)
    settings.STRIPE_API_BASE = ""
    Payment.objects.update(payment_intent="pi_of_another_account")
    later = timezone.now() + timedelta(minutes=5)
    assert refunds.send_requested(now=later) == {Sending.REFUSED: 1}
    refund.refresh_from_db()
    assert refund.status == Refund.Status.FAILED
    assert "resource_missing" in refund.failure_reason
    assert Discrepancy.objects.get().kind == Discrepancy.Kind.REFUND_FAILED
    assert refunds.send_requested(now=later) == {}
    assert_no_findings()


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["refunds", "charges"])
def test_the_stand_in_lists_nothing_of_a_payment_that_it_does_not_know(sandbox: Sandbox, kind: str) -> None:
    listing = getattr(stripe_client.client().v1, kind)
    with pytest.raises(StripeRefused) as raised, stripe_client.translated_errors():
        listing.list({"payment_intent": "pi_unknown"})
    assert raised.value.code == "resource_missing"


@pytest.mark.django_db
def test_waiting_refunds_are_asked_for_again_soon_when_stripe_was_down(
    sandbox: Sandbox, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    now = set_clock(sandbox, at(MONDAY))
    for _number in range(5):
        order = order_with_voucher(sandbox, placed=build.order(now=now))
        pay(sandbox, order, now)
        build.refund(order, 500, now=now)
    waiting = list(Refund.objects.waiting().order_by("pk"))
    assert len(waiting) == 5
    for refund in waiting:
        sandbox.ignore_refund(str(refund.stripe_id))
    settings.STRIPE_API_BASE = NOWHERE
    tomorrow = now + timedelta(days=1, minutes=1)
    with caplog.at_level(logging.WARNING, "ledger.sales.refunds"):
        assert refunds.update_waiting(now=tomorrow) == 0
    own = [record for record in caplog.records if record.name == "ledger.sales.refunds"]
    assert len(own) == 3  # then the run ended
    assert not Refund.objects.filter(asked_at__isnull=False).exists()
    settings.STRIPE_API_BASE = ""
    assert refunds.update_waiting(now=tomorrow + timedelta(minutes=1)) == 5
