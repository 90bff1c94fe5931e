"""The shop's texts about each payment method."""

import pytest
from django.template.loader import render_to_string
from django.test import Client
from django.utils import timezone

from kikaku.sandbox import Sandbox
from ledger.models import CheckoutAttempt, Order
from ledger.stripe.methods import METHODS, VOUCHER_METHODS, PaymentMethod, VoucherMethod
from ledger.testing import build
from shop.templatetags.shop import method_page
from shop.testing.orders import page_of


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_payment_method_has_its_terms(method: PaymentMethod) -> None:
    assert render_to_string(method_page(method.code), {"part": "terms", "method": method}).strip()


@pytest.mark.parametrize("method", VOUCHER_METHODS.values(), ids=VOUCHER_METHODS)
@pytest.mark.parametrize("part", ["heading", "thanks", "voucher", "timeline", "cancel", "cancelled", "paid"])
def test_a_voucher_method_has_every_text(method: VoucherMethod, part: str) -> None:
    order, voucher = Order(total=11_500), CheckoutAttempt(voucher_expires_at=timezone.now())
    text = render_to_string(method_page(method.code), {"part": part, "voucher": voucher, "order": order})
    assert text.strip()


@pytest.mark.django_db
def test_an_unknown_payment_method_is_shown_by_its_stripe_name(client: Client, sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    order.payments.update(method="link")
    assert '<p class="muted">link' in page_of(client, order)
