"""A business day of any size: a few orders sold by the real functions, and copies of everything they wrote.

No balance transaction is stored or posted yet; that is the work of the close.
"""

import copy
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

from django.db import transaction
from django.db.models import F, Model

from kikaku.days import day_bounds
from kikaku.sandbox import Sandbox
from kikaku.sandbox.state import StateFile, Transaction
from ledger.books import bulk, journal
from ledger.books.posting import SHIPMENT_SOURCE, Draft
from ledger.models import (
    JournalEntry,
    Order,
    OrderLine,
    Payment,
    Refund,
    RefundLine,
    Shipment,
    ShipmentLine,
    StockItem,
    StockMovement,
)
from ledger.sales import stock
from ledger.testing import build

VISA, JCB = "4242424242424242", "3566002020360505"
BATCH_SIZE = 2_000
CLOSE_AT = timedelta(hours=25)  # 01:00 JST of the next day


@dataclass(frozen=True)
class OrderKind:
    """What happens to an order on its day."""

    share: int  # percent of the orders
    card: str = VISA
    ships: bool = False
    refund: int = 0  # JPY


KINDS = (
    OrderKind(share=40),
    OrderKind(share=40, ships=True),
    OrderKind(share=16, card=JCB, ships=True),
    OrderKind(share=2, refund=1_000),
    OrderKind(share=2, ships=True, refund=1_000),
)


@dataclass(frozen=True)
class SoldOrder:
    """An order with everything that belongs to it, here and at Stripe."""

    order: Order
    lines: list[OrderLine]
    payments: list[Payment]
    refunds: list[tuple[Refund, list[RefundLine]]]
    shipments: list[tuple[Shipment, list[ShipmentLine]]]
    parcels: list[Draft]  # of the shipments' entries
    at_stripe: list[tuple[str, dict[str, Any]]]  # kind and object, in their order


def fill(
    sandbox: Sandbox, day: date, *, payments: int, say: Callable[[str], None] = lambda _said: None
) -> datetime:
    """Create a day of so many payments: a fiftieth is partly refunded, more than half is shipped.

    Sets the stand-in's clock and leaves it at the moment that is returned: 01:00 JST of the next day. `say`
    gets the progress. Numbers and ids contain the day: one call a day.
    """
    start, _end = day_bounds(day)
    sandbox.clock = start.timestamp
    templates = [_sell(sandbox, kind, start) for kind in KINDS]
    kinds = [number for number, kind in enumerate(KINDS) for _share in range(kind.share)]
    copies_needed = max(payments - len(KINDS), 0)
    for begin in range(0, copies_needed, BATCH_SIZE):
        copies = [
            # 37 and 100 share no divisor, so the kinds alternate
            (number, templates[kinds[number * 37 % 100]], timedelta(seconds=number * 86_400 // copies_needed))
            for number in range(begin, min(begin + BATCH_SIZE, copies_needed))
        ]
        _write_rows(f"{day:%y%m%d}", copies)
        _write_to_stripe(
            StateFile(sandbox.state_path), f"{day:%y%m%d}", copies, api_version=sandbox.api_version
        )
        say(f"{begin + len(copies) + len(KINDS):,} of {payments:,} payments of {day}")
    # in a shop autovacuum has done so during the day
    bulk.refresh_statistics(
        Order, OrderLine, Payment, Refund, RefundLine, Shipment, ShipmentLine, StockMovement
    )
    closing = start + CLOSE_AT
    sandbox.clock = closing.timestamp
    return closing


def _sell(sandbox: Sandbox, kind: OrderKind, now: datetime) -> SoldOrder:
    """Sell one order of the kind by the real functions, and return everything that it wrote."""
    lines = [
        build.line("BUSY-LAMP", price=11_000),
        build.line("BUSY-WATER", price=1_080, tax_class="reduced", title="保存水 2L"),
    ]
    order = build.paid_order(sandbox, lines, card=kind.card, shipping_fee=550, discount=500, now=now)
    if kind.ships:
        build.ship(order, now=now)
    if kind.refund:
        build.refund(order, kind.refund, now=now)
    build.deliver(sandbox)
    order.refresh_from_db()
    payment = order.payments.get()
    sources = [payment.charge, *order.refunds.values_list("stripe_id", flat=True)]
    with StateFile(sandbox.state_path).connection(write=False) as db:
        stripe = Transaction(db, now=now.timestamp(), api_version=sandbox.api_version)
        at_stripe = []
        for source, what in zip(sources, ["charge", *["refund"] * len(sources)], strict=False):
            answer = stripe.load(what, str(source))
            at_stripe += [
                (what, answer),
                (
                    "balance_transaction",
                    stripe.load("balance_transaction", answer["balance_transaction"]),
                ),
            ]
    return SoldOrder(
        order=order,
        lines=list(order.lines.order_by("pk")),
        payments=[payment],
        refunds=[(refund, list(refund.lines.order_by("pk"))) for refund in order.refunds.order_by("pk")],
        shipments=[(parcel, list(parcel.lines.order_by("pk"))) for parcel in order.shipments.order_by("pk")],
        parcels=[
            Draft(
                source_type=entry.source_type,
                source_id=entry.source_id,
                purpose=entry.purpose,
                description=entry.description,
                occurred_at=entry.occurred_at,
                order_id=order.pk,
                counterparty=entry.counterparty or "",
                amount=entry.amount or 0,
                lines=journal.lines_of(entry),
            )
            for entry in JournalEntry.objects.filter(order=order, source_type=SHIPMENT_SOURCE).order_by("pk")
        ],
        at_stripe=at_stripe,
    )


Copies = Sequence[tuple[int, SoldOrder, timedelta]]  # number, template, time after the template
Row = TypeVar("Row", bound=Model)


def _copy_later(row: Row, after: timedelta, **changes: Any) -> Row:
    """Return a copy of a row, with every instant later by `after`."""
    made = copy.copy(row)
    made.pk = None
    made._state.adding = True
    for field in row._meta.concrete_fields:
        value = getattr(row, field.attname)
        if isinstance(value, datetime):
            setattr(made, field.attname, value + after)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


@transaction.atomic
def _write_rows(prefix: str, copies: Copies) -> None:
    """Write our rows of the copies, and receive the stock that they take."""
    orders = Order.objects.bulk_create(
        _copy_later(
            sold.order,
            after,
            number=f"B-{prefix}-{number:07d}",
            token=f"{prefix}-{number}",
            nonce=f"{prefix}-{number}",
        )
        for number, sold, after in copies
    )
    every = [
        (number, sold, after, order) for (number, sold, after), order in zip(copies, orders, strict=True)
    ]
    lines = OrderLine.objects.bulk_create(
        _copy_later(line, after, order=order) for _number, sold, after, order in every for line in sold.lines
    )
    line_of = {
        (order.pk, original.position): line
        for (order, original), line in zip(
            ((order, line) for _number, sold, _after, order in every for line in sold.lines),
            lines,
            strict=True,
        )
    }
    payments = Payment.objects.bulk_create(
        _copy_later(
            payment,
            after,
            order=order,
            attempt=None,
            payment_intent=_id(payment.payment_intent, prefix, number),
            charge=_id(str(payment.charge), prefix, number),
        )
        for number, sold, after, order in every
        for payment in sold.payments
    )
    payment_of = {payment.order_id: payment for payment in payments}
    refunds = Refund.objects.bulk_create(
        _copy_later(
            refund,
            after,
            order=order,
            payment=payment_of[order.pk],
            nonce=f"{prefix}-{number}",
            stripe_id=_id(str(refund.stripe_id), prefix, number),
        )
        for number, sold, after, order in every
        for refund, _parts in sold.refunds
    )
    refunded = [(sold, after, order) for _number, sold, after, order in every if sold.refunds]
    RefundLine.objects.bulk_create(
        _copy_later(
            part,
            after,
            refund=refund,
            order_line=line_of[order.pk, part.order_line.position] if part.order_line else None,
        )
        for refund, (sold, after, order) in zip(refunds, refunded, strict=True)
        for part in sold.refunds[0][1]
    )
    _ship(prefix, every, line_of)


def _ship(
    prefix: str,
    every: Sequence[tuple[int, SoldOrder, timedelta, Order]],
    line_of: dict[tuple[int, int], OrderLine],
) -> None:
    shipped = [
        (number, sold.parcels[0], sold.shipments[0], after, order)
        for number, sold, after, order in every
        if sold.shipments
    ]
    parcels = Shipment.objects.bulk_create(
        _copy_later(parcel, after, order=order, nonce=f"{prefix}-{number}")
        for number, _draft, (parcel, _parts), after, order in shipped
    )
    parts = ShipmentLine.objects.bulk_create(
        _copy_later(
            part,
            after,
            shipment=parcel,
            order_line=line_of[order.pk, part.order_line.position],
        )
        for parcel, (_number, _draft, (_parcel, originals), after, order) in zip(
            parcels, shipped, strict=True
        )
        for part in originals
    )
    sold, left = Counter[int](), Counter[int]()
    for line in line_of.values():
        sold[line.item_id] += line.reserved + line.shipped
        left[line.item_id] += line.reserved
    for item in StockItem.objects.filter(pk__in=list(sold)).order_by("pk"):
        now = every[0][3].placed_at
        stock.receive(item, sold[item.pk], source=f"{prefix}-{every[0][0]}", actor="test", now=now)
        StockItem.objects.filter(pk=item.pk).update(
            on_hand=F("on_hand") - (sold[item.pk] - left[item.pk]), reserved=F("reserved") + left[item.pk]
        )
    StockMovement.objects.bulk_create(
        StockMovement(
            item_id=part.order_line.item_id,
            kind=StockMovement.Kind.SHIPMENT,
            quantity=-part.quantity,
            source=f"shipment_line:{part.pk}",
            occurred_at=part.shipment.shipped_at,
        )
        for part in parts
    )
    journal.post_all(
        [
            replace(draft, source_id=str(parcel.pk), occurred_at=draft.occurred_at + after, order_id=order.pk)
            for parcel, (_number, draft, _shipment, after, order) in zip(parcels, shipped, strict=True)
        ],
        now=every[0][3].placed_at,
    )


def _id(original: str, prefix: str, number: int) -> str:
    """Return the id of a copied object at Stripe, of the same kind."""
    return f"{original.split('_')[0]}_3{prefix}{number:07d}{original[-10:]}"


def _write_to_stripe(state: StateFile, prefix: str, copies: Copies, *, api_version: str) -> None:
    """Write the copies' objects into the stand-in's file, with new ids and later instants."""
    with state.connection(write=True) as db:
        tx = Transaction(db, now=0, api_version=api_version)
        for number, sold, after in copies:
            ids = {
                str(answer[name]): _id(str(answer[name]), prefix, number)
                for _kind, answer in sold.at_stripe
                for name in ("id", "payment_intent", "charge", "balance_transaction")
                if answer.get(name)
            }
            for kind, answer in sold.at_stripe:
                moved: dict[str, Any] = {
                    name: ids.get(value, value) if isinstance(value, str) else value
                    for name, value in answer.items()
                }
                moved["created"] += int(after.total_seconds())
                booked = kind == "balance_transaction"
                tx.insert(
                    kind,
                    moved,
                    private={"number": VISA} if kind == "charge" else None,
                    net=moved["net"] if booked else None,
                    available_on=moved["available_on"] if booked else None,
                )
