"""Shipping: record a shipment, take its pieces out of stock, recognise the sale, notify the customer.

The sale belongs to the day on which the parcel left, which may be before the day on which it is entered. Its
entry is posted on that day, or on the first open day when that one is closed.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from types import MappingProxyType

from django.db import IntegrityError
from django.db.models import F
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from kikaku.days import business_day, last_instant
from kikaku.transactions import unit_of_work
from ledger.books import recognition
from ledger.books.discrepancies import resolve_automatically
from ledger.books.order_buckets import tax_buckets
from ledger.books.tax_buckets import TaxBucket
from ledger.books.tax_rules import TaxStatusMissing
from ledger.models import Discrepancy, Order, OrderEvent, OrderLine, OutgoingMail, Shipment, ShipmentLine
from ledger.models.orders import SHIPPABLE_STATUSES, OrderStatus
from ledger.sales import history, mail, orders, stock
from ledger.sales.delivery import arrival_of_parcel
from ledger.sales.order_end import unspent_money
from ledger.sales.seen import require_unchanged
from ledger.sales.tracking import normalise_tracking_number, tracking_url

NO_GIFTS: Mapping[int, str] = MappingProxyType({})
GIVEN_AWAY = gettext_lazy("The rest was given away.")


class ShipRefused(Exception):
    """The order cannot be shipped like this; the message says why and what to do."""


def ship(
    *,
    order: Order,
    quantities: Mapping[int, int] | None,
    carrier: str,
    tracking_number: str,
    nonce: str,
    actor: str,
    now: datetime,
    shipped_on: date | None = None,
    gift: str = "",
    gifts: Mapping[int, str] = NO_GIFTS,
    seen: str = "",
) -> Shipment:
    """Ship pieces of a paid order (order line id → pieces, or None: all that is left).

    `shipped_on` is the JST day on which the parcel left (None: today), not before the payment's.

    Shipment, stock, state of the order, journal entry and mail are one transaction. The same nonce returns
    the same shipment. Goods whose money was refunded leave only as a `gift`, for one of the reasons in
    `Shipment.Gift`; each line of ¥0 has such a reason in `gifts` (order line id → reason), or the parcel's.
    A parcel of such lines alone is a gift for the first of their reasons. `seen` is the state that the
    decision is based on, see `ledger.sales.seen`. Raises `ShipRefused` and `OrderChanged`; then nothing
    changed.
    """
    try:
        return _ship(
            order=order,
            quantities=quantities,
            carrier=carrier,
            tracking_number=tracking_number,
            nonce=nonce,
            actor=actor,
            now=now,
            shipped_on=shipped_on,
            gift=gift,
            gifts=gifts,
            seen=seen,
        )
    except TaxStatusMissing as error:
        raise ShipRefused(str(error)) from error
    except IntegrityError:
        shipped = Shipment.objects.filter(nonce=nonce, order=order).first()
        if shipped is None:
            raise
        return shipped


@unit_of_work
def _ship(
    *,
    order: Order,
    quantities: Mapping[int, int] | None,
    carrier: str,
    tracking_number: str,
    nonce: str,
    actor: str,
    now: datetime,
    shipped_on: date | None,
    gift: str,
    gifts: Mapping[int, str],
    seen: str,
) -> Shipment:
    order = Order.objects.lock(order.pk)
    shipped = Shipment.objects.filter(nonce=nonce).first()
    if shipped is not None:
        if shipped.order_id != order.pk:
            raise ShipRefused(_("This form belongs to another order. Please open it again."))
        return shipped
    require_unchanged(order, seen)
    if order.status not in SHIPPABLE_STATUSES:
        raise ShipRefused(
            _("Only a paid order can be shipped; this one is “%(state)s”.")
            % {"state": order.get_status_display()}
        )
    shipped_at = _shipping_instant(order, shipped_on, now)
    lines = {line.pk: line for line in order.lines.order_by("item_id", "pk")}
    pieces = _pieces_to_ship(lines, quantities)
    buckets = tax_buckets(order)
    shipped_lines = [lines[line_id] for line_id in pieces]
    reasons = _gift_reasons(gift, gifts, shipped_lines)
    if len(reasons) == len(pieces):
        gift = gift or next(iter(reasons.values()))
    _check_gift(gift, shipped_lines, buckets)
    shipment = Shipment.objects.create(
        order=order,
        nonce=nonce,
        carrier=carrier.strip()[:40],
        tracking_number=normalise_tracking_number(tracking_number)[:60],
        gift=gift,
        shipped_at=shipped_at,
        arrives_on=arrival_of_parcel(order, carrier.strip(), shipped_at),
        actor=actor,
    )
    _ship_pieces(shipment, [(lines[line_id], count) for line_id, count in pieces.items()], reasons)
    if order.lines.unshipped().exists():
        if order.status == OrderStatus.PAID:
            orders.advance(order, OrderStatus.PARTIALLY_SHIPPED)
    else:
        orders.advance(order, OrderStatus.SHIPPED, shipped_at=shipped_at)
    history.record(
        order,
        OrderEvent.Kind.SHIPPED,
        actor=actor,
        now=now,
        fact=f"shipment:{shipment.pk}",
        shipment=shipment.pk,
        carrier=shipment.carrier,
        tracking_number=shipment.tracking_number,
        pieces={str(lines[line_id].position): quantity for line_id, quantity in pieces.items()},
        **({"gift": gift} if gift else {}),
        **({} if shipped_at == now else {"shipped_on": shipment.shipped_on.isoformat()}),
    )
    recognition.post_shipment(shipment, buckets=buckets, now=now)
    if order.status == OrderStatus.SHIPPED and not unspent_money(buckets.values()):
        resolve_automatically(Discrepancy.Kind.MONEY_GONE, [order.number], resolution=GIVEN_AWAY, now=now)
    parts = shipment.lines.select_related("order_line").order_by("order_line__position")
    mail.queue(
        OutgoingMail.Kind.SHIPPED,
        order,
        f"shipment:{shipment.pk}",
        {
            "shipment": shipment,
            "parts": list(parts),
            "complete": order.status == OrderStatus.SHIPPED,
            "tracking_url": tracking_url(shipment.carrier, shipment.tracking_number),
        },
        now=now,
    )
    return shipment


def _shipping_instant(order: Order, shipped_on: date | None, now: datetime) -> datetime:
    """Return when a parcel left: now for one of today, else the end of its day. Raises `ShipRefused`."""
    today = business_day(now)
    if shipped_on is None or shipped_on == today:
        return now
    if shipped_on > today:
        raise ShipRefused(_("The shipping day is in the future: choose today or an earlier day."))
    paid_on = business_day(order.paid_at or order.placed_at)
    if shipped_on < paid_on:
        text = _("The order was paid on %(day)s: it cannot have been shipped before that day.")
        raise ShipRefused(text % {"day": paid_on})
    return last_instant(shipped_on)


def _gift_reasons(gift: str, gifts: Mapping[int, str], lines: Sequence[OrderLine]) -> dict[int, str]:
    """Return line id → reason of the lines of ¥0: its own, or the parcel's. Raises `ShipRefused`."""
    reasons = {line.pk: gifts.get(line.pk) or gift for line in lines if not line.total}
    if missing := [line.packing_title for line in lines if reasons.get(line.pk) == ""]:
        raise ShipRefused(
            _("%(titles)s cost ¥0: choose why they are given away.") % {"titles": "、".join(missing)}
        )
    if {gift, *reasons.values()} - {"", *Shipment.Gift.values}:
        raise ShipRefused(_("Choose why the goods are given away."))
    return reasons


def _check_gift(gift: str, lines: Sequence[OrderLine], buckets: Mapping[str, TaxBucket]) -> None:
    """Raise `ShipRefused` for goods without money, unless they are a gift, and for a gift that has money."""
    free = free_lines(lines, buckets)
    if gift and len(free) < len(lines):
        raise ShipRefused(_("Money is left for these goods: they are sold, and cannot be shipped as a gift."))
    if gift:
        return
    if len(free) == len(lines):
        raise ShipRefused(
            _(
                "The money for these goods was refunded, and nothing is left of it. Cancel the rest, or ship "
                "it as a gift and say why."
            )
        )
    if refunded := [line for line in free if line.total]:  # one of ¥0 may go with what is sold
        raise ShipRefused(
            _("No money is left for %(title)s: ship it in a parcel of its own, as a gift, and say why.")
            % {"title": "、".join(line.packing_title for line in refunded)}
        )


def free_lines(lines: Iterable[OrderLine], buckets: Mapping[str, TaxBucket]) -> list[OrderLine]:
    """Return the lines that cost nothing, or for whose goods no money is left (by their tax class)."""
    return [line for line in lines if not (line.total and buckets[line.tax_class].deliverable)]


def _ship_pieces(
    shipment: Shipment, pieces: Sequence[tuple[OrderLine, int]], reasons: Mapping[int, str]
) -> None:
    """Store the lines of a shipment, then take their pieces out of stock. Raises `ShipRefused`."""
    stored: list[ShipmentLine] = []
    for line, quantity in pieces:
        stored.append(
            ShipmentLine.objects.create(
                shipment=shipment, order_line=line, quantity=quantity, gift=reasons.get(line.pk)
            )
        )
        shipped = OrderLine.objects.filter(pk=line.pk, reserved__gte=quantity).update(
            reserved=F("reserved") - quantity, shipped=F("shipped") + quantity
        )
        if not shipped:
            raise ShipRefused(_("%(title)s is no longer reserved.") % {"title": line.packing_title})
    for part in stored:
        stock.commit(
            part.order_line.item_id,
            part.quantity,
            source=f"shipment_line:{part.pk}",
            actor=shipment.actor,
            now=shipment.shipped_at,
        )


def _pieces_to_ship(lines: Mapping[int, OrderLine], quantities: Mapping[int, int] | None) -> dict[int, int]:
    """Return the pieces of each line that are shipped now. Raises `ShipRefused`."""
    if quantities is None:
        quantities = {line.pk: line.shippable for line in lines.values()}
    pieces = {}
    for line_id, quantity in quantities.items():
        line = lines.get(line_id)
        if line is None:
            raise ShipRefused(_("A line belongs to another order. Please open the form again."))
        if not 0 <= quantity <= line.shippable:
            raise ShipRefused(
                _("%(title)s: %(left)d pieces can be shipped at most.")
                % {"title": line.packing_title, "left": line.shippable}
            )
        if quantity:
            pieces[line_id] = quantity
    if not pieces:
        raise ShipRefused(_("Choose at least one piece to ship."))
    return {line_id: pieces[line_id] for line_id in lines if line_id in pieces}
