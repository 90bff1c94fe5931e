"""Orders whose money is gone before their goods are: they end, or what is left is cancelled or given away."""

import secrets
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from kikaku.sandbox import Sandbox
from ledger.books.accounts import PREPAYMENTS, REFUNDS_PAYABLE
from ledger.books.trial_balance import net_balance
from ledger.models import (
    Discrepancy,
    JournalEntry,
    Order,
    OrderEvent,
    OutgoingMail,
    Refund,
    Shipment,
    ShipmentLine,
    StockItem,
)
from ledger.models.orders import OrderStatus
from ledger.sales import cancellation, shipping
from ledger.sales.refunds import Side
from ledger.testing import build
from ledger.testing.admin import fields_of
from ledger.testing.closing import set_clock
from ledger.testing.dashboard import order_paid_twice, refund_in_dashboard
from ledger.testing.konbini import assert_no_findings, lose_events
from ledger.testing.threads import run_in_threads

FAILS_LATER = "4000000000005126"


def partly_shipped(sandbox: Sandbox) -> Order:
    """Return an order of 3 × ¥1,000 and ¥550 of which one piece was shipped."""
    order = build.paid_order(sandbox, [build.line(price=1_000, quantity=3, on_hand=3)], shipping_fee=550)
    build.ship(order, {order.lines.get().pk: 1})
    return order


def refund_all_its_money(order: Order) -> None:
    """Refund what the partly shipped order was paid, as amounts: its pieces are not cancelled."""
    build.refund(order, 2_000, side=Side.UNSHIPPED)
    build.refund(order, 1_550, side=Side.SHIPPED)


def cancel(order: Order) -> Order:
    reason = Order.CancelReason.STAFF
    return cancellation.cancel(order=order, reason=reason, actor="sato", now=timezone.now())


def give(
    order: Order, gift: str = Shipment.Gift.COURTESY, quantities: dict[int, int] | None = None
) -> Shipment:
    return shipping.ship(
        order=order,
        quantities=quantities,
        carrier="ヤマト運輸",
        tracking_number="",
        nonce=secrets.token_hex(8),
        actor="sato",
        now=timezone.now(),
        gift=gift,
    )


@pytest.mark.django_db
def test_an_order_that_is_fully_refunded_in_the_dashboard_ends_by_itself(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    refund_in_dashboard(order.payments.get())
    build.deliver(sandbox)
    order.refresh_from_db()
    assert (order.status, order.cancel_reason) == (OrderStatus.CANCELLED, "refunded")
    item = StockItem.objects.get()
    assert (item.on_hand, item.reserved) == (100, 0)
    event = order.events.get(kind=OrderEvent.Kind.CANCELLED)
    assert (event.data, event.actor) == ({"reason": "refunded"}, "stripe")
    assert "¥11,500" in order.mails.get(kind=OutgoingMail.Kind.CANCELLED).text
    build.fetch(sandbox)
    assert net_balance(PREPAYMENTS, order=order) == 0
    assert_no_findings()


@pytest.mark.django_db
def test_an_order_ends_when_its_total_is_refunded_as_an_amount(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    build.refund(order, 11_499)
    assert order.status == OrderStatus.PAID
    build.refund(order, 1)
    assert (order.status, order.cancel_reason) == (OrderStatus.CANCELLED, "refunded")
    assert StockItem.objects.get().reserved == 0
    assert order.mails.filter(kind=OutgoingMail.Kind.CANCELLED).count() == 1
    build.fetch(sandbox)
    assert net_balance(PREPAYMENTS, order=order) == 0
    assert_no_findings()


@pytest.mark.django_db
def test_a_refund_of_a_second_payment_in_the_dashboard_does_not_end_the_order(sandbox: Sandbox) -> None:
    order = order_paid_twice(sandbox)
    refund_in_dashboard(order.payments.get(attempt=order.attempts.latest("pk")))
    build.deliver(sandbox)
    order.refresh_from_db()
    assert order.status == OrderStatus.PAID
    assert build.ship(order).pk


@pytest.mark.django_db
def test_a_failed_refund_in_the_dashboard_does_not_end_the_order_when_it_is_first_heard_of_as_failed(
    sandbox: Sandbox,
) -> None:
    order = build.paid_order(sandbox, card=FAILS_LATER)
    refund_in_dashboard(order.payments.get())
    lose_events(sandbox)
    set_clock(sandbox, build.now_of(sandbox) + timedelta(days=10))
    build.deliver(sandbox)
    assert order.refunds.get().status == Refund.Status.FAILED
    order.refresh_from_db()
    assert order.status == OrderStatus.PAID


@pytest.mark.django_db
def test_the_rest_of_a_partly_shipped_order_without_money_is_cancelled_for_nothing(sandbox: Sandbox) -> None:
    order = partly_shipped(sandbox)
    refund_all_its_money(order)
    assert order.status == OrderStatus.PARTIALLY_SHIPPED
    cancel(order)
    assert order.status == OrderStatus.SHIPPED
    line = order.lines.get()
    assert (line.shipped, line.cancelled, line.reserved) == (1, 2, 0)
    item = StockItem.objects.get()
    assert (item.on_hand, item.reserved) == (2, 0)
    assert order.refunds.count() == 2
    event = order.events.get(kind=OrderEvent.Kind.REST_CANCELLED)
    assert (event.actor, event.data) == ("sato", {"pieces": {"1": 2}})
    mail = order.mails.get(kind=OutgoingMail.Kind.REST_CANCELLED)
    assert f"{line.title} × 2" in mail.text
    assert mail.subject.startswith("【LED企画】")
    build.fetch(sandbox)
    assert (net_balance(PREPAYMENTS, order=order), net_balance(REFUNDS_PAYABLE, order=order)) == (0, 0)
    assert_no_findings()


@pytest.mark.django_db
def test_the_rest_is_not_cancelled_for_nothing_while_money_is_left_for_it(sandbox: Sandbox) -> None:
    order = partly_shipped(sandbox)
    build.refund(order, 1_999, side=Side.UNSHIPPED)
    with pytest.raises(cancellation.CancelRefused):
        cancel(order)
    order.refresh_from_db()
    assert order.status == OrderStatus.PARTIALLY_SHIPPED
    build.refund(order, 1, side=Side.UNSHIPPED)  # ¥2,000 were the money of the two pieces that are left
    cancel(order)
    order.refresh_from_db()
    assert order.status == OrderStatus.SHIPPED
    build.fetch(sandbox)
    assert_no_findings()


@pytest.mark.django_db
def test_goods_without_money_are_shipped_only_as_a_gift_that_is_written_down(sandbox: Sandbox) -> None:
    order = partly_shipped(sandbox)
    refund_all_its_money(order)
    with pytest.raises(shipping.ShipRefused, match="返金"):
        build.ship(order)
    assert order.shipments.count() == 1
    parcel = give(order)
    order.refresh_from_db()
    assert order.status == OrderStatus.SHIPPED
    assert parcel.gift == "courtesy"
    event = order.events.get(kind=OrderEvent.Kind.SHIPPED, fact=f"shipment:{parcel.pk}")
    assert event.data["gift"] == "courtesy"
    assert not JournalEntry.objects.filter(source_type="shipment", source_id=str(parcel.pk)).exists()
    build.fetch(sandbox)
    assert_no_findings()


@pytest.mark.django_db
def test_goods_that_are_paid_for_are_no_gift(sandbox: Sandbox) -> None:
    order = partly_shipped(sandbox)
    with pytest.raises(shipping.ShipRefused):
        give(order)
    refund_all_its_money(order)
    with pytest.raises(shipping.ShipRefused):
        give(order, "because")


@pytest.mark.django_db
def test_a_free_piece_leaves_with_paid_ones_or_as_a_gift_with_a_reason(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox, [build.line(), build.line("FREE", price=0, quantity=2)])
    paid, free = order.lines.get(sku="CL-08").pk, order.lines.get(sku="FREE").pk
    for gifts in ({}, {free: "because"}):
        with pytest.raises(shipping.ShipRefused):
            build.ship(order, {paid: 1, free: 1}, gifts=gifts)
    build.ship(order, {paid: 1, free: 1}, gifts={free: Shipment.Gift.PROMOTION})
    with pytest.raises(shipping.ShipRefused, match="0円"):
        build.ship(order)
    give(order)
    assert [part.gift for part in ShipmentLine.objects.order_by("pk")] == [None, "promotion", "courtesy"]
    order.refresh_from_db()
    assert order.status == OrderStatus.SHIPPED
    build.fetch(sandbox)
    assert_no_findings()


@pytest.mark.django_db
def test_the_task_about_gone_money_ends_with_the_last_parcel_though_that_holds_free_pieces_only(
    sandbox: Sandbox,
) -> None:
    order = build.paid_order(sandbox, [build.line(price=1_000, quantity=2), build.line("FREE", price=0)])
    sold, free = order.lines.get(sku="CL-08").pk, order.lines.get(sku="FREE").pk
    build.ship(order, {sold: 1})
    refund_in_dashboard(order.payments.get())
    build.deliver(sandbox)
    assert Discrepancy.objects.unresolved().get().kind == Discrepancy.Kind.MONEY_GONE
    give(order, quantities={sold: 1})
    assert Discrepancy.objects.unresolved().exists()
    give(order, quantities={free: 1})
    order.refresh_from_db()
    assert order.status == OrderStatus.SHIPPED
    assert not Discrepancy.objects.unresolved().exists()


@pytest.mark.django_db
def test_staff_cancel_the_rest_or_give_it_away_on_the_pages_of_the_order(
    sandbox: Sandbox, staff: Client
) -> None:
    order = partly_shipped(sandbox)
    page = reverse("admin:ledger_order_change", args=[order.pk])
    ship, stop = (reverse(f"admin:ledger_order_{name}", args=[order.pk]) for name in ("ship", "cancel"))
    assert "その代金からキャンセル料を差し引いて" in staff.get(stop).content.decode()
    assert staff.post(stop, fields_of(staff.get(stop))).status_code == 422  # a refund, without a fee
    assert "無償で提供" not in staff.get(ship).content.decode()
    refund_all_its_money(order)
    assert stop in staff.get(page).content.decode()
    line = f"line_{order.lines.get().pk}"
    fields = fields_of(staff.get(ship)) | {line: "1", "carrier": "ヤマト運輸"}
    refused = staff.post(ship, fields)
    assert refused.status_code == 422
    assert "この商品の代金は返金済み" in refused.content.decode()
    staff.post(ship, {**fields, "gift": "courtesy"})
    assert order.shipments.latest("pk").gift == "courtesy"
    assert "無償提供（交際）" in staff.get(page).content.decode()
    assert "代金は返金済みのため" in staff.get(stop).content.decode()
    confirmed = fields_of(staff.get(stop))
    for _click in range(2):
        answer = staff.post(stop, confirmed, follow=True)
        assert "未発送分をキャンセルしました" in answer.content.decode()
    assert order.mails.filter(kind=OutgoingMail.Kind.REST_CANCELLED).count() == 1
    order.refresh_from_db()
    assert order.status == OrderStatus.SHIPPED
    assert order.lines.get().cancelled == 1


@pytest.mark.django_db(transaction=True)
def test_a_parcel_and_the_refund_of_everything_at_the_same_moment_leave_no_unpaid_parcel(
    sandbox: Sandbox,
) -> None:
    order = build.paid_order(sandbox)

    def ship() -> Shipment:
        return build.ship(Order.objects.get(pk=order.pk))

    def refund() -> Refund:
        return build.refund(Order.objects.get(pk=order.pk), order.total)

    run_in_threads(ship, refund)
    order.refresh_from_db()
    build.deliver(sandbox)
    build.fetch(sandbox, now=timezone.now() + timedelta(minutes=1))
    recognised = JournalEntry.objects.filter(source_type="shipment").count()
    assert (order.status, order.shipments.count(), recognised) in [
        (OrderStatus.SHIPPED, 1, 1),
        (OrderStatus.CANCELLED, 0, 0),
    ]
    assert_no_findings()
