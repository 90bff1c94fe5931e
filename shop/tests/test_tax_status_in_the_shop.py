"""What customers see by the tax status: no word of tax while exempt, a closed checkout without one."""

import re

import pytest
from django.test import Client

from kikaku.money import REDUCED
from kikaku.sandbox import Sandbox
from ledger.models import Order, OutgoingMail, TaxStatus
from ledger.testing import build as books
from ledger.testing import company
from ledger.testing.company import EXEMPT, REGISTERED
from shop.testing import build
from shop.testing.checkout import confirmation

pytestmark = pytest.mark.django_db

TAX = re.compile(r"※|消費税|軽減|\d% ?対象|\b(?:8|10)%|reduced|\btax [¥0-9]")


@pytest.fixture
def shopper(client: Client) -> Client:
    """Return a customer with a lamp and water in the cart."""
    build.product()
    build.product("water", tax_class=REDUCED, price=1_080)
    build.content_page()
    build.content_page("returns", "返品・交換について")
    build.fill_cart(client, ("SKU-madoka", 1), ("SKU-water", 1))
    return client


def tax_of(page: str) -> list[str]:
    """Return what a page says of tax, but that amounts include it."""
    main = page[page.index("<main") : page.index("</main>")] if "<main" in page else page
    return TAX.findall(re.sub(r"<script.*?</script>", "", main, flags=re.S))


def test_an_exempt_shop_names_no_tax_in_cart_confirmation_order_and_mails(
    shopper: Client, sandbox: Sandbox
) -> None:
    assert tax_of(shopper.get("/cart/").content.decode())
    status = {**EXEMPT, "from_day": REGISTERED["from_day"]}
    company.enter(**status)
    for page in (shopper.get("/cart/").content.decode(), confirmation(shopper)):
        assert "合計（税込）" in page and "¥13,880" in page
        assert tax_of(page) == []
    order = books.paid_order(
        sandbox, [books.line(), books.line("WATER", price=1_080, tax_class=REDUCED)], language="ja"
    )
    page = shopper.get(f"/orders/{order.token}/").content.decode()
    assert "合計（税込）" in page and tax_of(page) == []
    mail = OutgoingMail.objects.get(order=order)
    for text in (mail.text, mail.html):
        assert "税込" in text and TAX.findall(text) == []


@pytest.mark.parametrize(
    ("prefix", "text"), [("", "ご注文を受け付けておりません"), ("/en", "We do not take orders yet")]
)
def test_without_a_tax_status_cart_and_confirmation_say_that_the_checkout_is_closed(
    shopper: Client, prefix: str, text: str
) -> None:
    TaxStatus.objects.all().delete()
    cart = shopper.get(f"{prefix}/cart/").content.decode()
    assert text in cart and 'value="checkout"' not in cart
    build.type_address(shopper)
    page = shopper.get(f"{prefix}/checkout/confirm/").content.decode()
    assert text in page and 'name="fingerprint"' not in page
    answer = shopper.post(f"{prefix}/checkout/place/", {"nonce": "n" * 32, "fingerprint": "x"})
    assert answer.status_code in (302, 303) and not Order.objects.exists()
