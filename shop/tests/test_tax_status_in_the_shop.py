"""What customers see by the tax status: no word of tax while exempt, a closed checkout without one."""

import re
from datetime import UTC, date, datetime, timedelta

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from kikaku.money import REDUCED
from kikaku.sandbox import Sandbox
from ledger.models import Order, OutgoingMail, TaxRate, TaxStatus
from ledger.testing import build as books
from ledger.testing import company
from ledger.testing.company import EXEMPT, REGISTERED
from shop.cart import Cart, CartLine
from shop.quote import load_quote
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


def test_a_quote_has_the_rate_of_its_own_moment_and_one_query_however_many_statuses_there_are(
    shopper: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """The rate of food falls at midnight in Japan, 15:00 UTC; the next day the shop is exempt."""
    TaxRate.objects.create(tax_class=REDUCED, from_day=date(2027, 4, 1), percent=0)
    for month in (1, 2, 3):
        company.enter(from_day=date(2027, month, 1))
    company.enter(**{**EXEMPT, "from_day": date(2027, 4, 2)})
    cart = Cart((CartLine("SKU-water", 1, 1_080),))
    rates = []
    for day, hour, minute in ((31, 14, 59), (31, 15, 0), (32, 15, 0)):
        now = datetime(2027, 3, 1, hour, minute, tzinfo=UTC) + timedelta(days=day - 1)
        with django_assert_num_queries(1):
            rates.append(load_quote(cart, now=now).rates[REDUCED])
    assert rates == [8, 0, None]


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
