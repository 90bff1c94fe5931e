"""A customer is sent to Stripe's pages alone, whatever address an answer or a row holds."""

import pytest
from django.utils import timezone
from pytest_django import Settings

from kikaku.sandbox import Sandbox
from ledger.models import CheckoutAttempt
from ledger.sales import checkout
from ledger.stripe.pages import is_stripe_page
from ledger.testing import build

EVIL = "https://evil.example/c/pay/cs_test_1"


@pytest.mark.parametrize(
    "address",
    [
        "https://checkout.stripe.com/c/pay/cs_live_a1#fid%2FxA",
        "https://payments.stripe.com/konbini/voucher/x?a=b",
        "https://stripe.com/",
    ],
)
def test_an_address_at_stripe_is_followed(address: str) -> None:
    assert is_stripe_page(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        EVIL,
        "http://checkout.stripe.com/c/pay/x",
        "https://checkout.stripe.com.evil.example/c/pay/x",
        "https://checkout.stripe.com@evil.example/",
        "https://evil.example/https://checkout.stripe.com/",
        "https://evilstripe.com/",
        "https://checkout.stripe.com:8443/",
        "https://checkout.stripe.com/\nSet-Cookie: x=1",
        "https://checkout.stripe.com\\@evil.example/",
        "//checkout.stripe.com/",
        "javascript:alert(1)",
        "http://127.0.0.1:8001.evil.example/c/pay/x",
    ],
)
def test_any_other_address_is_not_followed(address: str) -> None:
    assert not is_stripe_page(address)


def test_the_stand_ins_pages_are_followed_only_while_it_answers(settings: Settings) -> None:
    page = f"{settings.SANDBOX_BASE_URL}/c/pay/cs_test_1"
    assert is_stripe_page(page)
    settings.SANDBOX = False
    assert not is_stripe_page(page)


@pytest.mark.django_db
def test_a_session_whose_page_lies_elsewhere_leaves_the_order_open_and_unpaid(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.observer = None
    sandbox.base_url = "https://evil.example"
    order = build.order()
    for _click in range(2):
        with pytest.raises(checkout.PaymentUnavailable):
            checkout.start_payment(order, now=timezone.now())
    assert "is not at Stripe" in caplog.text


@pytest.mark.django_db
def test_an_address_that_was_changed_in_the_database_is_not_followed(sandbox: Sandbox) -> None:
    order = build.order()
    checkout.start_payment(order, now=timezone.now())
    CheckoutAttempt.objects.update(url=EVIL)
    with pytest.raises(checkout.PaymentUnavailable):
        checkout.start_payment(order, now=timezone.now())
