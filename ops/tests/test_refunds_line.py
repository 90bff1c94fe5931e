"""The line that the job of the refunds leaves in the log and in the admin."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from kikaku.sandbox import Sandbox
from ledger.models import Payment
from ledger.testing import build
from ops.jobs import schedule

NOWHERE = "http://127.0.0.1:9"


@pytest.mark.django_db
def test_a_refused_refund_is_not_counted_as_sent_in_the_line_of_the_job(
    sandbox: Sandbox, settings: Settings
) -> None:
    good, bad = build.paid_order(sandbox), build.paid_order(sandbox)
    settings.STRIPE_API_BASE = NOWHERE
    for order in (good, bad):
        build.refund(order, 1_000)
    settings.STRIPE_API_BASE = ""
    Payment.objects.filter(order=bad).update(payment_intent="pi_unknown")
    line = schedule.send_refunds(timezone.now() + timedelta(minutes=5))
    assert line == "返金 1 件をStripeが受付, 返金 1 件をStripeが拒否"
