"""Shipping: stock, state of the order, journal and mail change together, and once."""

import pytest
from django.utils import timezone

from kikaku.sandbox import Sandbox
from ledger.books.accounts import PREPAYMENTS
from ledger.books.trial_balance import net_balance
from ledger.models import JournalEntry, Order, OutgoingMail, Shipment, StockItem, StockMovement
from ledger.models.orders import OrderStatus
from ledger.sales import shipping
from ledger.testing import build
from ledger.testing.threads import run_in_threads


def ship(order: Order, nonce: str, quantities: dict[int, int] | None = None) -> Shipment:
    return shipping.ship(
        order=order,
        quantities=quantities,
        carrier="佐川急便",
        tracking_number="4000-0000-0001",
        nonce=nonce,
        actor="staff",
        now=timezone.now(),
    )


@pytest.mark.django_db
def test_an_order_is_shipped_completely(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox, [build.line(quantity=2, on_hand=5)])
    build.fetch(sandbox)
    shipment = ship(order, "n1")

    order.refresh_from_db()
    assert order.status == OrderStatus.SHIPPED
    assert order.shipped_at is not None
    item = StockItem.objects.get()
    assert (item.on_hand, item.reserved) == (3, 0)
    assert StockMovement.objects.get(kind=StockMovement.Kind.SHIPMENT).quantity == -2
    assert net_balance(PREPAYMENTS, order=order) == 0
    mail = order.mails.get(kind=OutgoingMail.Kind.SHIPPED)
    assert "4000-0000-0001" in mail.text
    assert shipment.actor == "staff"


@pytest.mark.django_db
def test_an_order_is_shipped_in_parts(sandbox: Sandbox) -> None:
    order = build.paid_order(
        sandbox, [build.line("A", quantity=3), build.line("B", tax_class="reduced", price=1_080)]
    )
    build.fetch(sandbox)
    first, second = order.lines.order_by("position")
    ship(order, "n1", {first.pk: 2})
    order.refresh_from_db()
    assert order.status == OrderStatus.PARTIALLY_SHIPPED
    assert order.shipped_at is None
    ship(order, "n2", {first.pk: 0, second.pk: 1})
    order.refresh_from_db()
    assert order.status == OrderStatus.PARTIALLY_SHIPPED
    ship(order, "n3")
    order.refresh_from_db()
    assert order.status == OrderStatus.SHIPPED
    assert net_balance(PREPAYMENTS, order=order) == 0
    assert order.mails.filter(kind=OutgoingMail.Kind.SHIPPED).count() == 3
    assert not StockItem.objects.filter(reserved__gt=0).exists()


@pytest.mark.django_db
def test_a_repeated_form_ships_once(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox, [build.line(quantity=2, on_hand=5)])
    line = order.lines.get()
    assert ship(order, "same", {line.pk: 1}) == ship(order, "same", {line.pk: 1})
    line.refresh_from_db()
    assert (line.shipped, line.reserved) == (1, 1)
    assert StockItem.objects.get().on_hand == 4
    assert order.mails.filter(kind=OutgoingMail.Kind.SHIPPED).count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_concurrently_repeated_form_ships_once(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox, [build.line(quantity=2, on_hand=5)])
    line = order.lines.get()
    shipped = run_in_threads(*[lambda: ship(order, "same", {line.pk: 1})] * 3)
    assert len({shipment.pk for shipment in shipped if isinstance(shipment, Shipment)}) == 1, shipped
    assert all(isinstance(shipment, Shipment) for shipment in shipped), shipped
    assert StockItem.objects.get().on_hand == 4
    assert JournalEntry.objects.filter(source_type="shipment").count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_users_cannot_ship_the_same_pieces(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox, [build.line(quantity=2, on_hand=5)])
    shipped = run_in_threads(lambda: ship(order, "one"), lambda: ship(order, "two"))
    assert sum(isinstance(result, Shipment) for result in shipped) == 1, shipped
    assert sum(isinstance(result, shipping.ShipRefused) for result in shipped) == 1
    assert StockItem.objects.get().on_hand == 3


@pytest.mark.django_db
def test_unpaid_orders_missing_pieces_and_lines_of_other_orders_are_refused(sandbox: Sandbox) -> None:
    pending = build.order()
    with pytest.raises(shipping.ShipRefused):
        ship(pending, "n1")
    order = build.paid_order(sandbox, [build.line("B", quantity=2)])
    line = order.lines.get()
    for quantities in ({line.pk: 3}, {line.pk: -1}, {line.pk: 0}, {}, {pending.lines.get().pk: 1}):
        with pytest.raises(shipping.ShipRefused):
            ship(order, "n2", quantities)
    assert not Shipment.objects.exists()
    ship(order, "n3")
    with pytest.raises(shipping.ShipRefused):
        ship(order, "n4")
    other = build.paid_order(sandbox, [build.line("C")])
    with pytest.raises(shipping.ShipRefused):
        ship(other, "n3")  # the nonce of another order's form
