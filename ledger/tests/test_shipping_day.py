"""The shipping day: the sale is of the day on which the parcel left, whenever it is entered."""

from datetime import date, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from kikaku.days import business_day, is_day_only, last_instant
from kikaku.sandbox import Sandbox
from ledger.models import JournalEntry, JournalLine, Order, OrderEvent, Shipment, StockItem, StockMovement
from ledger.models.orders import OrderStatus
from ledger.sales import shipping
from ledger.templatetags.ledger_money import format_day
from ledger.testing import build, company
from ledger.testing.admin import fields_of, page_of
from ledger.testing.closing import MONDAY, TUESDAY, WEDNESDAY, at, set_clock

pytestmark = pytest.mark.django_db


def paid_on_monday(sandbox: Sandbox) -> Order:
    order = build.paid_order(sandbox, now=set_clock(sandbox, at(MONDAY)))
    build.fetch(sandbox)
    return order


def test_a_parcel_of_yesterday_is_posted_on_yesterday_as_long_as_that_day_is_open(sandbox: Sandbox) -> None:
    order = paid_on_monday(sandbox)
    entered = set_clock(sandbox, at(WEDNESDAY, 9))
    shipment = build.ship(order, shipped_on=TUESDAY, now=entered)
    entry = JournalEntry.objects.get(source_type="shipment")
    assert (entry.day, entry.created_at) == (TUESDAY, entered)
    assert entry.occurred_at == shipment.shipped_at == order.shipped_at == last_instant(TUESDAY)
    assert shipment.shipped_on == TUESDAY
    assert StockMovement.objects.get(kind=StockMovement.Kind.SHIPMENT).occurred_at == shipment.shipped_at
    event = OrderEvent.objects.get(kind=OrderEvent.Kind.SHIPPED)
    assert (event.at, event.data["shipped_on"]) == (entered, "2026-11-17")


def test_a_parcel_of_today_left_when_it_is_entered(sandbox: Sandbox) -> None:
    order = paid_on_monday(sandbox)
    now = set_clock(sandbox, at(TUESDAY, 9))
    assert build.ship(order, shipped_on=TUESDAY, now=now).shipped_at == now
    assert "shipped_on" not in OrderEvent.objects.get(kind=OrderEvent.Kind.SHIPPED).data


def test_a_parcel_of_the_day_of_payment_left_after_the_payment(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox, now=set_clock(sandbox, at(MONDAY, 23, 59)))
    shipment = build.ship(order, shipped_on=MONDAY, now=set_clock(sandbox, at(TUESDAY, 9)))
    assert order.paid_at is not None and order.paid_at < shipment.shipped_at
    assert business_day(shipment.shipped_at) == MONDAY


@pytest.mark.parametrize(
    ("day", "words"),
    [(WEDNESDAY, "未来の日付"), (MONDAY - timedelta(days=1), "入金日は 2026-11-16")],
)
def test_a_day_to_come_and_one_before_the_payment_are_refused_and_nothing_changes(
    sandbox: Sandbox, day: date, words: str
) -> None:
    order = paid_on_monday(sandbox)
    with translation.override("ja"), pytest.raises(shipping.ShipRefused, match=words):
        build.ship(order, shipped_on=day, now=set_clock(sandbox, at(TUESDAY)))
    order.refresh_from_db()
    assert (order.status, order.shipped_at) == (OrderStatus.PAID, None)
    assert not Shipment.objects.exists() and not JournalEntry.objects.filter(source_type="shipment").exists()
    assert StockItem.objects.get().on_hand == 100
    assert not order.mails.filter(kind="shipped").exists()


def test_the_status_and_the_rate_of_the_shipping_day_hold(sandbox: Sandbox) -> None:
    company.enter(from_day=date(2026, 11, 1), **company.EXEMPT)
    order = paid_on_monday(sandbox)
    company.enter(from_day=WEDNESDAY, registered_on=WEDNESDAY)
    build.ship(order, shipped_on=TUESDAY, now=set_clock(sandbox, at(WEDNESDAY)))
    lines = JournalLine.objects.filter(entry__source_type="shipment").order_by("account")
    assert [(line.account_id, line.debit - line.credit) for line in lines] == [
        ("2130", 11_500),
        ("4110", -11_000),
        ("4120", -500),
    ]


def test_the_customer_reads_the_shipping_day_and_an_arrival_that_counts_from_it(
    sandbox: Sandbox, client: Client
) -> None:
    order = paid_on_monday(sandbox)
    shipment = build.ship(order, shipped_on=TUESDAY, now=set_clock(sandbox, at(WEDNESDAY)))
    assert shipment.arrives_on == TUESDAY + timedelta(days=1)
    mail = order.mails.get(kind="shipped")
    with translation.override("ja"):
        for body in (mail.text, mail.html):
            assert "発送日" in body and format_day(TUESDAY) in body
            assert format_day(WEDNESDAY) + "頃の予定" in body
    page = client.get(reverse("order", args=[order.token])).content.decode()
    assert "2026年11月17日" in page and "23:59" not in page and "2026年11月18日" not in page


def test_the_form_asks_for_the_day_and_staff_read_it_without_a_time(
    sandbox: Sandbox, admin_client: Client
) -> None:
    order = build.paid_order(sandbox)
    today, yesterday = (business_day(timezone.now()) - timedelta(days=days) for days in (0, 1))
    Order.objects.filter(pk=order.pk).update(paid_at=timezone.now() - timedelta(days=3))
    data = fields_of(admin_client.get(page_of(order, "ship")))
    assert data["shipped_on"] == today.isoformat()
    for wrong in (today + timedelta(days=1), today - timedelta(days=4), ""):
        answer = admin_client.post(page_of(order, "ship"), data | {"shipped_on": str(wrong)})
        assert answer.status_code == 422
        assert not Shipment.objects.exists()
    answer = admin_client.post(page_of(order, "ship"), data | {"shipped_on": str(yesterday)}, follow=True)
    page = answer.content.decode()
    assert f"{yesterday} の発送を記録しました" in page and f"出荷日：{yesterday}" in page
    assert is_day_only(Shipment.objects.get().shipped_at)
    listed = admin_client.get(reverse("admin:ledger_shipment_changelist")).content.decode()
    one = admin_client.get(reverse("admin:ledger_shipment_change", args=[Shipment.objects.get().pk]))
    for text in (page, listed, one.content.decode()):
        assert str(yesterday) in text and f"{yesterday} 23:59" not in text
