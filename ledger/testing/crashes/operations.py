"""The operations that faults are tried with: everything that changes data, with its preconditions."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from _pytest.mark.structures import ParameterSet
from django.db.models import Sum

from ledger.models import (
    DailyClose,
    Discrepancy,
    JournalEntry,
    JournalLine,
    Order,
    OutgoingMail,
    Payment,
    Refund,
    Shipment,
    StockItem,
)
from ledger.sales import cancellation, shipping
from ledger.testing import build
from ledger.testing.histories.actions import Action
from ledger.testing.histories.at_stripe import Deliver, ExpireVoucher, LoseEvent
from ledger.testing.histories.checks import stripe_objects
from ledger.testing.histories.customers import (
    AnswerRefund,
    ChooseKonbini,
    Pay,
    PayVoucher,
    Place,
    go_to_payment_page,
)
from ledger.testing.histories.faults import StripeUnreachable
from ledger.testing.histories.time_and_jobs import Close, Run, Wait, WaitForMidnight
from ledger.testing.histories.world import World


@dataclass(frozen=True)
class Operation:
    """An action of one process, with what has to happen before and after it."""

    name: str
    before: Sequence[Action]
    action: Action
    after: Sequence[Action] = ()  # follows when the action succeeded
    by_person: bool = False  # a person repeats it after a failure, or gives up; otherwise jobs do
    nightly: bool = False  # tried in nightly runs only: every run tries a similar operation

    def __str__(self) -> str:
        return self.name


def summary(world: World) -> dict[str, Any]:
    """Return the state of a settled world, without generated ids and times."""
    refunds_at_stripe = stripe_objects(world.sandbox.state_path, "refund")
    return {
        "orders": Counter(Order.objects.values_list("status", "cancel_reason", "total")),
        "payments": Counter(Payment.objects.values_list("amount", "method")),
        "refunds": Counter(Refund.objects.values_list("amount", "status")),
        "refunds at Stripe": Counter((refund["amount"], refund["status"]) for refund in refunds_at_stripe),
        "pages open at Stripe": sum(
            session["status"] == "open"
            for session in stripe_objects(world.sandbox.state_path, "checkout.session")
        ),
        "shipments": Counter(Shipment.objects.values_list("lines__order_line__sku", "lines__quantity")),
        "stock": sorted(StockItem.objects.values_list("sku", "on_hand", "reserved")),
        "entries": Counter(JournalEntry.objects.values_list("source_type", "purpose")),
        "accounts": sorted(JournalLine.objects.values_list("account").annotate(Sum("debit"), Sum("credit"))),
        "mails": Counter(OutgoingMail.objects.values_list("kind", "status")),
        "discrepancies": Counter(Discrepancy.objects.values_list("kind", "amount")),
        "days with differences": DailyClose.objects.exclude(differences=0).count(),
    }


# ── Actions ────────────────────────────────────────────────────────────────────────────────────────────────

ORDER = Place(lines=((0, 11_000, 2), (2, 1_080, 3)), shipping_fee=550, discount=500)


@dataclass(frozen=True)
class DeliverEvent:
    """Stripe delivers an event of this type, ahead of events that came before it."""

    kind: str

    def __call__(self, world: World) -> None:
        """Deliver the first waiting event of the type."""
        for delivery in world.sandbox.pending_deliveries():
            if json.loads(delivery.body)["type"] == self.kind:
                world.deliver(delivery)
                return
        raise AssertionError(f"Stripe has no {self.kind} to deliver")


def place(world: World) -> None:
    """Order as a customer and open the payment page; with the same form each time."""
    world.forms = 0
    ORDER(world)


def ship(world: World) -> None:
    """Ship the whole order as staff; with the same form each time."""
    shipping.ship(
        order=Order.objects.get(),
        quantities=None,
        carrier="",
        tracking_number="",
        nonce="parcel",
        actor="",
        now=world.now,
    )


def refund(world: World) -> None:
    """Cancel a lamp as staff, or take it back if it was shipped; with the same form each time."""
    order = Order.objects.get()
    line = order.lines.get(position=1)
    build.refund(
        order,
        cancel={} if line.shipped else {line.pk: 1},
        returns={line.pk: 1} if line.shipped else {},
        restock=True,
        nonce="refund",
        now=world.now,
    )


def return_to_pay(world: World) -> None:
    """Return to the order's page as a customer and start the payment again."""
    go_to_payment_page(world, Order.objects.get())


def cancel(world: World) -> None:
    """Cancel the order as staff."""
    cancellation.cancel(order=Order.objects.get(), reason=Order.CancelReason.STAFF, actor="", now=world.now)


PAID = (ORDER, Pay(), Deliver(), Run(("balance",)))
SHIPPED = (*PAID, ship)
VOUCHER = (ORDER, ChooseKonbini(), Deliver())
PAID_AT_COUNTER = (*VOUCHER, PayVoucher(), Deliver(), Run(("balance",)))
EVENTS_LOST: tuple[Action, ...] = (ORDER, Pay(), *[LoseEvent()] * 4, Wait(2 * 3_600))
EXPIRY_EVENTS_LOST: tuple[Action, ...] = (*VOUCHER, ExpireVoucher(), *[LoseEvent()] * 3, Wait(5 * 86_400))
DAY_OF_BUSINESS = (*SHIPPED, refund, Deliver(), WaitForMidnight(3_600))


def handle_event(kind: str, *before: Action, of: str = "", nightly: bool = True) -> Operation:
    """Return the operation that handles an event of a type."""
    return Operation(f"handle {kind}{of and ' of '}{of}", before, DeliverEvent(kind), nightly=nightly)


OPERATIONS = [
    Operation("place an order", (), place, after=(Pay(),), by_person=True),
    Operation(
        "return to a page that expires soon",
        (ORDER, Wait(34 * 60 + 30)),
        return_to_pay,
        (Pay(),),
        by_person=True,
        nightly=True,
    ),
    handle_event("checkout.session.completed", ORDER, Pay(), nightly=False),
    handle_event("payment_intent.succeeded", ORDER, Pay()),
    handle_event("charge.succeeded", ORDER, Pay()),
    handle_event("payment_intent.payment_failed", ORDER, Pay(card="4000000000000002")),
    handle_event("checkout.session.expired", ORDER, Wait(2_400), nightly=False),
    handle_event("payment_intent.requires_action", ORDER, ChooseKonbini(), of="a voucher", nightly=False),
    handle_event("checkout.session.completed", ORDER, ChooseKonbini(), of="a voucher"),
    handle_event("checkout.session.async_payment_succeeded", *VOUCHER, PayVoucher()),
    handle_event("checkout.session.async_payment_failed", *VOUCHER, ExpireVoucher()),
    handle_event(
        "payment_intent.succeeded", *VOUCHER, cancel, PayVoucher(), of="a cancelled order", nightly=False
    ),
    handle_event("refund.created", *PAID, refund),
    handle_event("refund.failed", ORDER, Pay(card="4000000000005126"), Deliver(), refund, Wait(60)),
    handle_event("refund.updated", *PAID_AT_COUNTER, refund, Deliver(), AnswerRefund(), nightly=False),
    Operation("post a sale and a refund", (ORDER, Pay(), Deliver(), ship, refund), Run(("balance",))),
    Operation("post a payment without events", EVENTS_LOST, Run(("balance",)), nightly=True),
    Operation("refund", SHIPPED, refund, by_person=True),
    Operation("refund a konbini payment", PAID_AT_COUNTER, refund, by_person=True, nightly=True),
    Operation(
        "send a refund that waits",
        (*PAID, StripeUnreachable(refund), Wait(180)),
        Run(("refunds",)),
        nightly=True,
    ),
    Operation("cancel a paid order", PAID, cancel, by_person=True),
    Operation("cancel while the page is open", (ORDER,), cancel, by_person=True, nightly=True),
    Operation("cancel while a voucher is unpaid", VOUCHER, cancel, by_person=True, nightly=True),
    Operation("ship", PAID, ship, by_person=True),
    Operation("end an abandoned checkout", (ORDER, Wait(2_400)), Run(("checkouts",))),
    Operation("expire a voucher without events", EXPIRY_EVENTS_LOST, Run(("checkouts",)), nightly=True),
    Operation("close a day", DAY_OF_BUSINESS, Close()),
]
SEND_MAIL = Operation("send mail", SHIPPED, Run(("mail",)))  # only for a test with a mail server


def operations_to_try(
    every: int = 1, *, where: Callable[[Operation], bool] = lambda _operation: True
) -> list[ParameterSet]:
    """Return the operations for parametrize: every n-th of the usual ones, all of them in a nightly run."""
    usual = [operation for operation in OPERATIONS if not operation.nightly][every - 1 :: every]
    return [
        pytest.param(operation, id=str(operation), marks=() if operation in usual else pytest.mark.nightly)
        for operation in OPERATIONS
        if where(operation)
    ]


def operation_named(name: str) -> Operation:
    """Return an operation by its name."""
    return next(operation for operation in OPERATIONS if operation.name == name)
