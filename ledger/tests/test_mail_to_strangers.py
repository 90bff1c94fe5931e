"""Mails to an address that anybody may have typed: few, without links, and none for one's own acts."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from kikaku.sandbox import Sandbox
from kikaku.text import has_link, has_web_address
from kikaku.transactions import unit_of_work
from ledger.models import Order, OrderEvent, OutgoingMail
from ledger.sales import cancellation, history, mail
from ledger.sales.orders import OrderRefused
from ledger.testing import build
from ledger.testing.closing import MONDAY, at, set_clock
from ledger.testing.konbini import order_with_voucher


def cancel(order: Order, actor: str) -> None:
    reason = Order.CancelReason.CUSTOMER
    cancellation.cancel(order=order, reason=reason, actor=actor, now=timezone.now())


@pytest.mark.django_db
def test_an_unpaid_order_that_its_buyer_cancels_sends_no_mail(sandbox: Sandbox) -> None:
    order = build.order()
    build.session_of(order)
    cancel(order, history.CUSTOMER)
    assert not OutgoingMail.objects.exists()
    other = build.order()
    cancel(other, "sato")
    assert other.mails.get().kind == OutgoingMail.Kind.CANCELLED


@pytest.mark.django_db
def test_a_buyer_whose_money_had_arrived_is_told_that_it_goes_back(sandbox: Sandbox) -> None:
    order = build.order()
    sandbox.pay(build.session_of(order))  # its event has not arrived
    cancel(order, history.CUSTOMER)
    assert "¥11,500" in order.mails.get(kind=OutgoingMail.Kind.CANCELLED).text


@pytest.mark.django_db
def test_an_address_that_has_paid_for_nothing_gets_few_mails_a_day(
    sandbox: Sandbox, settings: Settings
) -> None:
    settings.UNSOLICITED_MAILS_A_DAY = 2
    now = set_clock(sandbox, at(MONDAY))
    emails = ("v@example.jp", "V@example.jp", "v@EXAMPLE.jp")
    placed = [build.order(email=email, now=now) for email in emails]
    for order in placed:
        order_with_voucher(sandbox, placed=order)
    assert OutgoingMail.objects.filter(to__iexact="v@example.jp").count() == 2
    withheld = placed[2].events.get(kind=OrderEvent.Kind.MAIL_WITHHELD)
    assert withheld.data == {"mail_kind": "voucher"}
    order_with_voucher(sandbox, placed=build.order(email="other@example.jp", now=now))
    assert OutgoingMail.objects.filter(to="other@example.jp").count() == 1
    # what was paid is always confirmed, and counts no more
    sandbox.pay_voucher(str(placed[2].attempts.get().session_id))
    build.deliver(sandbox)
    assert placed[2].mails.get().kind == OutgoingMail.Kind.ORDER_CONFIRMATION
    tomorrow = now + timedelta(days=1)
    again = build.order(email="v@example.jp", now=tomorrow)
    order_with_voucher(sandbox, placed=again, now=tomorrow)
    assert again.mails.get().kind == OutgoingMail.Kind.VOUCHER


@pytest.mark.django_db(transaction=True)
def test_a_mail_about_no_order_counts_like_one_of_an_unpaid_order(settings: Settings) -> None:
    settings.UNSOLICITED_MAILS_A_DAY = 1
    kind, now = OutgoingMail.Kind.MESSAGE_RECEIVED, timezone.now()

    def received(source: str) -> OutgoingMail | None:
        queue = unit_of_work(mail.queue_without_order)
        return queue(kind, "v@example.jp", "ja", source, {"message": None}, unsolicited=True, now=now)

    assert received("message:1")
    assert received("message:2") is None


NAMES_WITH_ADDRESSES = [
    "http://evil.example/win",
    "www.evil",
    "evil.com",
    "ＥＶＩＬ．ＣＯＭ",
    "当選 evil。jp",
    "a://b",
]
GENUINE_NAMES = ["山田", "花子", "St.John", "J.R", "ジョン＝スミス", "O'Neil", "Mary Ann", "Dr. No", "髙木"]


@pytest.mark.parametrize("name", NAMES_WITH_ADDRESSES)
def test_an_address_of_the_web_in_a_name_is_recognised(name: str) -> None:
    assert has_web_address(name)


@pytest.mark.parametrize("name", GENUINE_NAMES)
def test_a_genuine_name_is_no_address_of_the_web(name: str) -> None:
    assert not has_web_address(name)


@pytest.mark.parametrize("line", ["神宮前1-2-3", "Aoba Bldg.2F", "LED co.ltd 3F", "渋谷区"])
def test_a_line_of_a_postal_address_is_no_link(line: str) -> None:
    assert not has_link(line)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "field", ["family_name", "given_name", "family_name_kana", "city", "street", "building"]
)
def test_no_order_is_placed_with_an_address_of_the_web_in_what_mails_repeat(field: str) -> None:
    typed: dict[str, Any] = {field: "http://evil.example/win"}
    with pytest.raises(OrderRefused) as refused:
        build.order(**typed)
    assert refused.value.reason == "address"
    assert not Order.objects.exists()
    build.order(note="see http://example.jp")  # a note is read by staff only
