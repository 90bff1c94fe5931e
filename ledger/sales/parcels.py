"""Parcels that have left: correct what was typed of them, and tell the customer."""

from datetime import datetime

from kikaku.transactions import unit_of_work
from ledger.models import Order, OrderEvent, OutgoingMail, Shipment
from ledger.sales import history, mail
from ledger.sales.delivery import arrival_of_parcel
from ledger.sales.tracking import normalise_tracking_number, tracking_url


@unit_of_work
def correct_parcel(
    shipment: Shipment, *, carrier: str, tracking_number: str, actor: str, now: datetime
) -> bool:
    """Correct carrier and tracking number of a parcel and queue a mail; return False if nothing is different.

    The history keeps what was written before.
    """
    order = Order.objects.lock(shipment.order_id)
    stored = Shipment.objects.get(pk=shipment.pk)
    before = stored.carrier, stored.tracking_number
    after = carrier.strip()[:40], normalise_tracking_number(tracking_number)[:60]
    if before == after:
        return False
    stored.carrier, stored.tracking_number = after
    stored.arrives_on = arrival_of_parcel(order, stored.carrier, stored.shipped_at)
    stored.save(update_fields=["carrier", "tracking_number", "arrives_on"])
    history.record(
        order,
        OrderEvent.Kind.PARCEL_CORRECTED,
        actor=actor,
        now=now,
        fact=history.repeatable(f"shipment:{stored.pk}", now),
        shipment=stored.pk,
        carrier=stored.carrier,
        tracking_number=stored.tracking_number,
        before=" ".join(before).strip(),
    )
    mail.queue(
        OutgoingMail.Kind.PARCEL_CORRECTED,
        order,
        history.repeatable(f"shipment:{stored.pk}", now),
        {"shipment": stored, "tracking_url": tracking_url(stored.carrier, stored.tracking_number)},
        now=now,
    )
    return True
