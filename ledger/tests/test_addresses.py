"""Addresses as readers of each language write them."""

import pytest

from kikaku.sandbox import Sandbox
from ledger.models import OutgoingMail
from ledger.sales import mail
from ledger.sales.delivery import expected_arrival
from ledger.templatetags.ledger_address import address_lines
from ledger.testing import build

ENGLISH = {
    "street": "Jingumae 1-2-3",
    "city": "Shibuya-ku",
    "prefecture": "東京都",
    "postal_code": "150-0001",
}
JAPANESE = ENGLISH | {"street": "神宮前1-2-3", "city": "渋谷区"}


@pytest.mark.parametrize(
    ("address", "language", "lines"),
    [
        (ENGLISH, "en", ["Jingumae 1-2-3, Shibuya-ku, Tokyo 150-0001"]),
        (JAPANESE, "ja", ["〒150-0001", "東京都渋谷区神宮前1-2-3"]),
        (ENGLISH, "ja", ["〒150-0001", "東京都 Shibuya-ku Jingumae 1-2-3"]),  # what the packer reads
    ],
)
def test_an_address_is_written_as_its_language_does(
    address: dict[str, str], language: str, lines: list[str]
) -> None:
    assert address_lines(address | {"building": ""}, language) == lines
    with_building = address_lines(address | {"building": "Aoba 405"}, language)
    assert with_building == (["Aoba 405", *lines] if language == "en" else [*lines, "Aoba 405"])


@pytest.mark.django_db
def test_the_mail_to_an_english_customer_has_an_english_address(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    order.language = "en"
    for name, value in ENGLISH.items():
        setattr(order, name, value)
    values = {"payment": order.payments.get(), "arrival": expected_arrival(order)}
    rendered = mail.render(OutgoingMail.Kind.ORDER_CONFIRMATION, order, values)
    for text in (rendered.text, rendered.html):
        assert "Jingumae 1-2-3, Shibuya-ku, Tokyo 150-0001" in text
        assert "東京都" not in text
