"""Stock: reserve, release and ship pieces, and record the movements that change the quantity on hand.

Each change is one conditional update, so that two customers never get the last piece. Items are updated in
the order of their ids, so that two orders never deadlock. Each function is a unit of work, or a
part of its caller's.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from django.db.models import F
from django.utils.translation import gettext as _

from kikaku.transactions import unit_of_work
from ledger.models import StockItem, StockMovement


class SoldOut(Exception):
    """Too few pieces are available; nothing was reserved."""

    def __init__(self, skus: Iterable[str]) -> None:
        self.skus = tuple(skus)
        super().__init__(", ".join(self.skus))


class StockRefused(Exception):
    """A movement of more pieces than there are; the message says what to do."""


def _record_movement(
    item_id: int,
    kind: str,
    quantity: int,
    *,
    source: str,
    actor: str,
    now: datetime,
    note: str = "",
    reason: str | None = None,
) -> bool:
    """Record a movement; return False when the same source recorded it before."""
    _movement, created = StockMovement.objects.get_or_create(
        item_id=item_id,
        kind=kind,
        source=source,
        defaults={"quantity": quantity, "occurred_at": now, "actor": actor, "note": note, "reason": reason},
    )
    return created


@unit_of_work
def receive(
    item: StockItem, quantity: int, *, source: str, actor: str, now: datetime, note: str = ""
) -> None:
    """Add received pieces to the quantity on hand; the same `source` is received once.

    Raises `StockRefused` for a quantity below 1.
    """
    if quantity < 1:
        raise StockRefused(_("Receive one piece or more."))
    if _record_movement(
        item.pk, StockMovement.Kind.RECEIPT, quantity, source=source, actor=actor, now=now, note=note
    ):
        StockItem.objects.filter(pk=item.pk).update(on_hand=F("on_hand") + quantity)


@unit_of_work
def receive_many(
    quantities: Mapping[int, int], *, source: str, actor: str, now: datetime, note: str = ""
) -> None:
    """Receive many items in a few statements: stock item id → pieces (1 or more).

    Raises `StockRefused` for a quantity below 1, and `django.db.IntegrityError` when one of the items was
    received from the same `source` before.
    """
    if any(quantity < 1 for quantity in quantities.values()):
        raise StockRefused(_("Receive one piece or more."))
    StockMovement.objects.bulk_create(
        [
            StockMovement(
                item_id=item_id,
                kind=StockMovement.Kind.RECEIPT,
                quantity=quantity,
                source=source,
                occurred_at=now,
                actor=actor,
                note=note,
            )
            for item_id, quantity in quantities.items()
        ],
        batch_size=100,
    )
    by_quantity: dict[int, list[int]] = {}
    for item_id, quantity in quantities.items():
        by_quantity.setdefault(quantity, []).append(item_id)
    for quantity, ids in sorted(by_quantity.items()):
        for start in range(0, len(ids), 500):
            StockItem.objects.filter(pk__in=ids[start : start + 500]).update(on_hand=F("on_hand") + quantity)


@unit_of_work
def adjust(
    item: StockItem,
    *,
    source: str,
    actor: str,
    now: datetime,
    reason: str,
    note: str,
    on_hand: int | None = None,
    delta: int | None = None,
    seen: int | None = None,
) -> None:
    """Correct the quantity on hand, to the counted `on_hand` or by `delta` pieces (exactly one of the two).

    `reason` is one of `StockMovement.Reason`. The same `source` adjusts once. `seen` is the quantity on hand
    that a person saw before counting. Raises `StockRefused` without a reason, when the quantity is another
    one now, and when fewer pieces than are reserved would be left.
    """
    if (on_hand is None) == (delta is None):
        raise ValueError("Give either on_hand or delta.")
    if reason not in StockMovement.Reason.values:
        raise StockRefused(_("Choose why the stock is corrected."))
    current = StockItem.objects.select_for_update().get(pk=item.pk)
    # checked under the lock: of two concurrent clicks the second finds the movement of the first
    if StockMovement.objects.filter(
        item_id=item.pk, kind=StockMovement.Kind.ADJUSTMENT, source=source
    ).exists():
        return
    if seen is not None and seen != current.on_hand:
        raise StockRefused(
            _("The stock changed since this page was opened: now %(count)d. Please count once more.")
            % {"count": current.on_hand}
        )
    change = delta if delta is not None else (on_hand or 0) - current.on_hand
    if change == 0:
        return
    if current.on_hand + change < current.reserved:
        raise StockRefused(
            _("%(count)d pieces are promised to customers: cancel or refund an order first.")
            % {"count": current.reserved}
        )
    changed = StockItem.objects.filter(pk=item.pk, on_hand__gte=F("reserved") - change).update(
        on_hand=F("on_hand") + change
    )
    if not changed:
        raise StockRefused(_("The stock changed at the same moment. Please try again."))
    _record_movement(
        item.pk,
        StockMovement.Kind.ADJUSTMENT,
        change,
        source=source,
        actor=actor,
        now=now,
        note=note,
        reason=reason,
    )


@unit_of_work
def reserve(wanted: Mapping[int, int]) -> None:
    """Reserve pieces (stock item id → quantity, 1 or more), all of them or none.

    Raises `SoldOut` with the SKUs of which too few are available.
    """
    missing = [
        item_id
        for item_id, quantity in sorted(wanted.items())
        if not StockItem.objects.filter(pk=item_id, on_hand__gte=F("reserved") + quantity).update(
            reserved=F("reserved") + quantity
        )
    ]
    if missing:
        raise SoldOut(StockItem.objects.filter(pk__in=missing).order_by("pk").values_list("sku", flat=True))


@unit_of_work
def release(reserved_quantities: Mapping[int, int]) -> None:
    """Release reserved pieces (stock item id → quantity), so that they can be sold again.

    Raises `StockRefused` when fewer pieces are reserved; the caller's transaction rolls back.
    """
    for item_id, quantity in sorted(reserved_quantities.items()):
        if quantity and not StockItem.objects.filter(pk=item_id, reserved__gte=quantity).update(
            reserved=F("reserved") - quantity
        ):
            raise StockRefused(f"stock item {item_id}: {quantity} to release, fewer reserved")


@unit_of_work
def commit(item_id: int, quantity: int, *, source: str, actor: str, now: datetime) -> None:
    """Ship reserved pieces: they are neither on hand nor reserved any more; the same `source` ships once.

    Raises `StockRefused` when fewer pieces are reserved; the caller's transaction rolls back.
    """
    if not _record_movement(
        item_id, StockMovement.Kind.SHIPMENT, -quantity, source=source, actor=actor, now=now
    ):
        return
    if not StockItem.objects.filter(pk=item_id, on_hand__gte=quantity, reserved__gte=quantity).update(
        on_hand=F("on_hand") - quantity, reserved=F("reserved") - quantity
    ):
        raise StockRefused(f"stock item {item_id}: {quantity} to ship, fewer reserved")


@unit_of_work
def take_back(item_id: int, quantity: int, *, source: str, actor: str, now: datetime, note: str = "") -> None:
    """Add returned pieces to the quantity on hand; the same `source` returns once."""
    if _record_movement(
        item_id, StockMovement.Kind.RETURN, quantity, source=source, actor=actor, now=now, note=note
    ):
        StockItem.objects.filter(pk=item_id).update(on_hand=F("on_hand") + quantity)
