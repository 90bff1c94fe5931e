"""What the power is cut in: every operation that moves something, with the world that it needs."""

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
from ledger.testing.crashes.power import Deed
from ledger.testing.histories.acts import (
    AnswerRefund,
    Close,
    Deliver,
    LetVoucherLapse,
    Lose,
    Pay,
    PayVoucher,
    Place,
    Run,
    StripeIsSilent,
    TakeVoucher,
    Wait,
    WaitForMidnight,
    go_to_payment_page,
)
from ledger.testing.histories.checks import at_stripe
from ledger.testing.histories.world import World


@dataclass(frozen=True)
class Operation:
    """Something that a process does, after something else was done."""

    name: str
    before: Sequence[Deed]
    deed: Deed
    then: Sequence[Deed] = ()  # what follows when it went well
    by_person: bool = False  # who repeats it; without that it may as well not have happened
    nightly: bool = False  # tried in nightly runs only: an operation much like it is tried in every run

    def __str__(self) -> str:
        return self.name


def story(world: World) -> dict[str, Any]:
    """Tell what a settled world looks like, whatever ids and times chance made."""
    refunds_at_stripe = at_stripe(world.sandbox.state_path, "refund")
    return {
        "orders": Counter(Order.objects.values_list("status", "cancel_reason", "total")),
        "payments": Counter(Payment.objects.values_list("amount", "method")),
        "refunds": Counter(Refund.objects.values_list("amount", "status")),
        "refunds at Stripe": Counter((refund["amount"], refund["status"]) for refund in refunds_at_stripe),
        "pages open at Stripe": sum(
            session["status"] == "open" for session in at_stripe(world.sandbox.state_path, "checkout.session")
        ),
        "parcels": Counter(Shipment.objects.values_list("lines__order_line__sku", "lines__quantity")),
        "stock": sorted(StockItem.objects.values_list("sku", "on_hand", "reserved")),
        "entries": Counter(JournalEntry.objects.values_list("source_type", "purpose")),
        "accounts": sorted(JournalLine.objects.values_list("account").annotate(Sum("debit"), Sum("credit"))),
        "mails": Counter(OutgoingMail.objects.values_list("kind", "status")),
        "differences": Counter(Discrepancy.objects.values_list("kind", "amount")),
        "days with differences": DailyClose.objects.exclude(differences=0).count(),
    }


# ── Deeds ────────────────────────────────────────────────────────────────────────────────────────────────

ORDER = Place(lines=((0, 11_000, 2), (2, 1_080, 3)), shipping_fee=550, discount=500)


@dataclass(frozen=True)
class Hear:
    """Stripe tells of an event of this kind, though others came before it."""

    kind: str

    def __call__(self, world: World) -> None:
        """Bring the first that waits."""
        for delivery in world.sandbox.pending_deliveries():
            if json.loads(delivery.body)["type"] == self.kind:
                world.deliver(delivery)
                return
        raise AssertionError(f"Stripe has no {self.kind} to tell of")


def place(world: World) -> None:
    """The customer orders and goes to the payment page; the same form each time."""
    world.forms = 0
    ORDER(world)


def ship(world: World) -> None:
    """Staff ship all of the order; the same form each time."""
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
    """Staff refund a lamp, which comes back to the shelf if it was shipped; the same form each time."""
    order = Order.objects.get()
    build.refund(
        order, quantities={order.lines.get(position=1).pk: 1}, restock=True, nonce="refund", now=world.now
    )


def return_(world: World) -> None:
    """The customer opens his order's page again and wants to pay."""
    go_to_payment_page(world, Order.objects.get())


def cancel(world: World) -> None:
    """Staff cancel the order."""
    cancellation.cancel(order=Order.objects.get(), reason=Order.CancelReason.STAFF, actor="", now=world.now)


PAID = (ORDER, Pay(), Deliver(), Run(("balance",)))
SHIPPED = (*PAID, ship)
VOUCHER = (ORDER, TakeVoucher(), Deliver())
PAID_AT_COUNTER = (*VOUCHER, PayVoucher(), Deliver(), Run(("balance",)))
UNTOLD: tuple[Deed, ...] = (ORDER, Pay(), *[Lose()] * 4, Wait(2 * 3_600))
LAPSED_UNTOLD: tuple[Deed, ...] = (*VOUCHER, LetVoucherLapse(), *[Lose()] * 3, Wait(5 * 86_400))
A_DAY = (*SHIPPED, refund, Deliver(), WaitForMidnight(3_600))


def hear(kind: str, *before: Deed, of: str = "", nightly: bool = True) -> Operation:
    """Handle an event of Stripe."""
    return Operation(f"handle {kind}{of and ' of '}{of}", before, Hear(kind), nightly=nightly)


OPERATIONS = [
    Operation("place an order", (), place, then=(Pay(),), by_person=True),
    Operation(
        "come back to a page that closes",
        (ORDER, Wait(34 * 60 + 30)),
        return_,
        (Pay(),),
        by_person=True,
        nightly=True,
    ),
    hear("checkout.session.completed", ORDER, Pay(), nightly=False),
    hear("payment_intent.succeeded", ORDER, Pay()),
    hear("charge.succeeded", ORDER, Pay()),
    hear("payment_intent.payment_failed", ORDER, Pay(card="4000000000000002")),
    hear("checkout.session.expired", ORDER, Wait(2_400), nightly=False),
    hear("payment_intent.requires_action", ORDER, TakeVoucher(), of="a voucher", nightly=False),
    hear("checkout.session.completed", ORDER, TakeVoucher(), of="a voucher"),
    hear("checkout.session.async_payment_succeeded", *VOUCHER, PayVoucher()),
    hear("checkout.session.async_payment_failed", *VOUCHER, LetVoucherLapse()),
    hear("payment_intent.succeeded", *VOUCHER, cancel, PayVoucher(), of="a cancelled order", nightly=False),
    hear("refund.created", *PAID, refund),
    hear("refund.failed", ORDER, Pay(card="4000000000005126"), Deliver(), refund, Wait(60)),
    hear("refund.updated", *PAID_AT_COUNTER, refund, Deliver(), AnswerRefund(), nightly=False),
    Operation("post a sale and a refund", (ORDER, Pay(), Deliver(), ship, refund), Run(("balance",))),
    Operation("post what no event told of", UNTOLD, Run(("balance",)), nightly=True),
    Operation("refund", SHIPPED, refund, by_person=True),
    Operation("refund what was paid at a counter", PAID_AT_COUNTER, refund, by_person=True, nightly=True),
    Operation(
        "send a refund that waits",
        (*PAID, StripeIsSilent(refund), Wait(180)),
        Run(("refunds",)),
        nightly=True,
    ),
    Operation("cancel a paid order", PAID, cancel, by_person=True),
    Operation("cancel while the page is open", (ORDER,), cancel, by_person=True, nightly=True),
    Operation("cancel while a voucher is out", VOUCHER, cancel, by_person=True, nightly=True),
    Operation("ship", PAID, ship, by_person=True),
    Operation("end an abandoned checkout", (ORDER, Wait(2_400)), Run(("checkouts",))),
    Operation("end a voucher of which no event told", LAPSED_UNTOLD, Run(("checkouts",)), nightly=True),
    Operation("close a day", A_DAY, Close()),
]
SEND_MAIL = Operation("send mail", SHIPPED, Run(("mail",)))  # for who has a mail server


def tried(
    every: int = 1, *, where: Callable[[Operation], bool] = lambda _operation: True
) -> list[ParameterSet]:
    """Return the operations that a test tries, for parametrize: every n-th of the usual ones, all in a nightly run."""
    usual = [operation for operation in OPERATIONS if not operation.nightly][::every]
    return [
        pytest.param(operation, id=str(operation), marks=() if operation in usual else pytest.mark.nightly)
        for operation in OPERATIONS
        if where(operation)
    ]


def named(name: str) -> Operation:
    """Give an operation by its name."""
    return next(operation for operation in OPERATIONS if operation.name == name)
