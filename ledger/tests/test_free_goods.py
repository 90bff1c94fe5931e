"""Goods that leave without money and corrected counts have a reason, no entry, and a monthly list."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils.translation import override
from pytest_django import DjangoAssertNumQueries

from kikaku.money import REDUCED
from kikaku.sandbox import Sandbox
from ledger.books.accounts import PREPAYMENTS
from ledger.books.trial_balance import net_balance
from ledger.closing import verification
from ledger.closing.report_figures import parcels
from ledger.models import JournalEntry, Order, Shipment, ShipmentLine, StockItem, StockMovement
from ledger.sales import stock
from ledger.sales.free_goods import free_goods
from ledger.sales.refunds import RefundRefused
from ledger.sales.shipping import ShipRefused
from ledger.testing import build
from ledger.testing.admin import fields_of, page_of
from ledger.testing.closing import MONDAY, TUESDAY, at, set_clock
from ledger.testing.konbini import assert_no_findings

pytestmark = pytest.mark.django_db


def test_the_reasons_are_those_that_an_accountant_asks_for() -> None:
    with override("ja"):
        assert [str(label) for label in StockMovement.Reason.labels] == [
            "販促",
            "景品",
            "交際",
            "自家消費",
            "役員",
            "廃棄",
            "棚卸差異",
        ]
    assert StockMovement.Reason.choices[:5] == Shipment.Gift.choices


def correct(item: StockItem, delta: int, reason: str, *, note: str = "") -> None:
    """Correct the quantity on hand on Tuesday."""
    now = at(TUESDAY, 12)
    stock.adjust(item, delta=delta, reason=reason, note=note, source=f"{delta}", actor="sato", now=now)


def half_drained(sandbox: Sandbox) -> Order:
    """Return a paid order of a lamp (¥11,000) and two waters, for the second of which no money is left.

    A refund of ¥1,000 took ¥150 out of the reduced class; then one water of ¥1,000 was refunded.
    """
    now = set_clock(sandbox, at(MONDAY))
    lines = [
        build.line("LAMP", price=11_000),
        build.line("WATER", price=1_000, tax_class=REDUCED),
        build.line("TEA", price=100, tax_class=REDUCED),
    ]
    order = build.paid_order(sandbox, lines, shipping_fee=0, now=now)
    build.refund(order, 1_210, now=now)  # a tenth of each class: ¥110 of the reduced one
    build.refund(order, cancel={order.lines.get(sku="WATER").pk: 1}, now=now)
    build.deliver(sandbox)
    build.fetch(sandbox)
    return order


def test_goods_whose_class_has_no_money_leave_in_a_parcel_of_their_own_with_a_reason(
    sandbox: Sandbox, staff: Client
) -> None:
    order = half_drained(sandbox)
    lamp, tea = order.lines.get(sku="LAMP").pk, order.lines.get(sku="TEA").pk
    for pieces in (None, {tea: 1}):
        with pytest.raises(ShipRefused):
            build.ship(order, pieces, now=at(MONDAY, 13))
    for pieces in (None, {lamp: 1}):
        with pytest.raises(ShipRefused):
            build.ship(order, pieces, gift=Shipment.Gift.PRIZE, now=at(MONDAY, 13))
    form = staff.get(page_of(order, "ship")).context["form"]
    assert (form[f"line_{lamp}"].value(), form[f"line_{tea}"].value()) == (1, 0)
    assert "TEA" in form.fields["gift"].help_text
    gift = build.ship(order, {tea: 1}, gift=Shipment.Gift.PRIZE, now=at(MONDAY, 13))
    assert not JournalEntry.objects.filter(source_type="shipment", source_id=str(gift.pk)).exists()
    build.ship(order, {lamp: 1}, now=at(MONDAY, 14))
    assert order.status == "shipped"
    assert_no_findings()


def test_the_shipping_fee_is_earned_with_the_last_gift_when_nothing_was_sold(sandbox: Sandbox) -> None:
    now = set_clock(sandbox, at(MONDAY))
    lines = [
        build.line("WATER", price=1_000, tax_class=REDUCED),
        build.line("TEA", price=100, tax_class=REDUCED),
    ]
    order = build.paid_order(sandbox, lines, shipping_fee=550, now=now)
    build.refund(order, 165, now=now)  # ¥110 of the goods, ¥55 of the fee
    build.refund(order, cancel={order.lines.get(sku="WATER").pk: 1}, now=now)
    build.deliver(sandbox)
    build.fetch(sandbox)
    parcel = build.ship(order, gift=Shipment.Gift.COURTESY, now=at(MONDAY, 13))
    entry = JournalEntry.objects.get(source_type="shipment", source_id=str(parcel.pk))
    assert [(line.account_id, line.debit, line.credit) for line in entry.lines.all()] == [
        ("2130", 495, 0),
        ("4120", 0, 450),
        ("2150", 0, 45),
    ]
    assert_no_findings()


def test_the_shipping_fee_belongs_to_the_first_parcel_that_is_sold(sandbox: Sandbox) -> None:
    now = set_clock(sandbox, at(MONDAY))
    lines = [build.line("LAMP", price=1_100, quantity=2), build.line("FREE", price=0)]
    order = build.paid_order(sandbox, lines, shipping_fee=550, now=now)
    lamp, free = order.lines.get(sku="LAMP").pk, order.lines.get(sku="FREE").pk
    with pytest.raises(ShipRefused, match="0円"):
        build.ship(order, {free: 1}, now=at(MONDAY, 13))
    gift = build.ship(order, {free: 1}, gift=Shipment.Gift.PROMOTION, now=at(MONDAY, 13))
    assert parcels(MONDAY) == {"sold": {"parcels": 0, "pieces": 0}, "free": {"parcels": 1, "pieces": 1}}
    first, second = (build.ship(order, {lamp: 1}, now=at(TUESDAY, hour)) for hour in (9, 10))
    entries = JournalEntry.objects.filter(source_type="shipment", order=order).order_by("pk")
    assert [(entry.source_id, entry.amount) for entry in entries] == [
        (str(first.pk), 1_650),
        (str(second.pk), 1_100),
    ]
    assert str(gift.pk) not in {entry.source_id for entry in entries}
    assert parcels(TUESDAY) == {"sold": {"parcels": 2, "pieces": 2}, "free": {"parcels": 0, "pieces": 0}}
    build.fetch(sandbox)
    assert not list(verification.verify())
    assert_no_findings()


def test_the_shipping_fee_goes_back_when_only_a_gift_left_and_the_rest_is_cancelled(
    sandbox: Sandbox,
) -> None:
    now = set_clock(sandbox, at(MONDAY))
    lines = [build.line("LAMP", price=1_100), build.line("FREE", price=0)]
    order = build.paid_order(sandbox, lines, shipping_fee=550, now=now)
    build.ship(order, {order.lines.get(sku="FREE").pk: 1}, gift=Shipment.Gift.PROMOTION, now=at(MONDAY, 13))
    lamp = {order.lines.get(sku="LAMP").pk: 1}
    with pytest.raises(RefundRefused):  # the fee would be left for nothing
        build.refund(order, cancel=lamp, now=at(MONDAY, 14))
    build.cancel(order, fee=300, now=at(MONDAY, 14))
    assert order.refunds.get().amount == 1_350
    build.deliver(sandbox)
    build.fetch(sandbox)
    assert net_balance(PREPAYMENTS, order=order) == 0
    assert_no_findings()


def test_a_line_of_0_yen_that_is_packed_with_sold_goods_is_listed_with_its_reason(
    sandbox: Sandbox, staff: Client
) -> None:
    now = set_clock(sandbox, at(MONDAY))
    lines = [build.line("LAMP", price=1_100), build.line("FREE", price=0), build.line("CARD", price=0)]
    order = build.paid_order(sandbox, lines, shipping_fee=550, now=now)
    page = page_of(order, "ship")
    reasons = {line.sku: f"gift_{line.pk}" for line in order.lines.exclude(sku="LAMP")}
    fields = fields_of(staff.get(page)) | {"carrier": "ヤマト運輸", reasons["FREE"]: "prize"}
    refused = staff.post(page, fields)
    assert refused.status_code == 422 and "CARD は0円です" in refused.content.decode()
    assert not order.shipments.exists()
    staff.post(page, fields | {reasons["CARD"]: "promotion"})
    parcel = order.shipments.get()
    assert parcel.gift == ""
    rows = free_goods(parcel.shipped_on, parcel.shipped_on)
    assert [(each.sku, each.quantity, str(each.reason), each.price) for each in rows] == [
        ("CARD", -1, "販促", 0),
        ("FREE", -1, "景品", 0),
    ]
    ShipmentLine.objects.update(gift=None)  # as an earlier version stored it
    assert {str(each.reason) for each in free_goods(parcel.shipped_on, parcel.shipped_on)} == {"記録なし"}


def test_a_correction_needs_a_reason_and_has_no_entry() -> None:
    item = build.item("LAMP", 5)
    for reason in ("", "lost"):
        with pytest.raises(stock.StockRefused):
            correct(item, -1, reason)
    correct(item, -1, StockMovement.Reason.OWN_USE)
    assert item.movements.get(kind="adjustment").reason == "own_use"
    assert not JournalEntry.objects.exists()


def test_the_list_of_a_month_has_gifts_and_corrections(
    sandbox: Sandbox, client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    order = half_drained(sandbox)
    build.ship(order, {order.lines.get(sku="TEA").pk: 1}, gift=Shipment.Gift.PRIZE, now=at(MONDAY, 13))
    correct(StockItem.objects.get(sku="LAMP"), -2, StockMovement.Reason.DISPOSAL, note="割れ")
    correct(build.item("SCREW", 5), 1, StockMovement.Reason.COUNT)
    old = StockItem.objects.get(sku="LAMP").movements
    old.create(kind="adjustment", quantity=1, source="before", occurred_at=at(TUESDAY))  # without a reason
    with django_assert_num_queries(2):
        rows = free_goods(MONDAY, TUESDAY)
    assert [
        (each.day, each.sku, each.quantity, str(each.reason), each.price, each.order_number) for each in rows
    ] == [
        (MONDAY, "TEA", -1, "景品", 100, order.number),
        (TUESDAY, "LAMP", -2, "廃棄", 11_000, ""),
        (TUESDAY, "LAMP", 1, "記録なし", 11_000, ""),
        (TUESDAY, "SCREW", 1, "棚卸差異", None, ""),
    ]
    assert free_goods(TUESDAY + timedelta(days=1), TUESDAY + timedelta(days=9)) == []

    clerk = User.objects.create_user("clerk", password="x", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(codename__in=["view_stockmovement", "export_books"]))
    client.force_login(clerk)
    query = f"?period=month&month={MONDAY:%Y-%m}"
    page = client.get(reverse("admin:ledger_stockmovement_free_goods") + query)
    assert "無償出荷・在庫調整" in page.content.decode() and "△2" in page.content.decode()
    file = client.get(reverse("admin:ledger_stockmovement_free_goods_csv") + query).content
    assert file.startswith(b"\xef\xbb\xbf")
    assert file.decode("utf-8-sig").split("\r\n")[:2] == [
        "日付,品番,数量,理由,販売価格,注文番号",
        f"{MONDAY},TEA,-1,景品,100,{order.number}",
    ]
    bad = client.get(reverse("admin:ledger_stockmovement_free_goods_csv") + "?month=x")
    assert bad.status_code == 400
