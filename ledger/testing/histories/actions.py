"""The actions of histories, as plain values: a failing history can be read, shrunk and pasted into a test.

An action chooses its object by a number, modulo the number of candidates, and does nothing without
candidates. Refusals of the domain are ignored; every other exception ends the history.
"""

import errno
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from smtplib import SMTPServerDisconnected
from typing import Any, Literal, Protocol, TypeVar
from urllib.parse import urlencode

import stripe
from django.conf import settings
from hypothesis import strategies as st

from kikaku.days import business_day, day_bounds
from kikaku.sandbox import CARDS, MethodNotOffered, NothingToAuthenticate, NoVoucher, Request, SessionNotOpen
from kikaku.sandbox.events import record_event
from ledger.closing import daily_close
from ledger.models import Order, Shipment, StockItem
from ledger.models.orders import OrderStatus
from ledger.sales import cancellation, checkout, confirmation, orders, refunds, shipping, stock
from ledger.sales.orders import NewOrderLine
from ledger.sales.refunds import RefundRequest
from ledger.stripe.client import StripeUnavailable
from ledger.testing.build import ADDRESS
from ledger.testing.histories import checks
from ledger.testing.histories.foreign import CloseAhead, ForeignCharge, ForeignKey, ForgeEntry, HoldReserve
from ledger.testing.histories.world import JOBS, RATES, SKUS, World
from ledger.testing.steps import Crash, CrashAt, Step, observe_steps

T = TypeVar("T")

REFUSALS = (
    orders.SoldOut,
    orders.OrderRefused,
    checkout.NotPayable,
    cancellation.CancelRefused,
    shipping.ShipRefused,
    refunds.RefundRefused,
    stock.StockRefused,
)


NO_ANSWER = stripe.APIConnectionError("no answer")  # type: ignore[no-untyped-call]


class Action(Protocol):
    """Something that a customer, staff, Stripe, a job or a fault does."""

    def __call__(self, world: World) -> None:
        """Do it in a world."""


def choose(candidates: Sequence[T], which: int) -> T | None:
    """Return the newest candidate for 0, older ones for higher numbers, None without candidates."""
    return candidates[-1 - which % len(candidates)] if candidates else None


def choose_order(which: int, *states: str) -> Order | None:
    """Return one of the orders in these states, as `choose` does."""
    return choose(list(Order.objects.filter(status__in=states).order_by("pk")), which)


# ── Customers ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Place:
    """A customer orders lines of (item, price, quantity) and goes to the payment page."""

    lines: tuple[tuple[int, int, int], ...]
    shipping_fee: int = 0
    discount: int = 0
    clicks: int = 1  # on the same form

    def __call__(self, world: World) -> None:
        nonce = world.new_nonce("order")
        for _click in range(self.clicks):
            placed = orders.place_order(
                nonce=nonce,
                language="ja",
                lines=[
                    NewOrderLine(
                        item_id=world.items[item].pk,
                        sku=SKUS[item],
                        title=SKUS[item],
                        unit_price=price,
                        quantity=quantity,
                        tax_rate=RATES[item],
                    )
                    for item, price, quantity in self.lines
                ],
                address=ADDRESS,
                discount=self.discount,
                shipping_fee=self.shipping_fee,
                now=world.now,
            )
            go_to_payment_page(world, placed)


@dataclass(frozen=True)
class ReturnToPay:
    """A customer returns to the page of an unpaid order and starts the payment again."""

    order: int = 0

    def __call__(self, world: World) -> None:
        order = choose_order(self.order, OrderStatus.PENDING)
        if order is not None:
            go_to_payment_page(world, order)


def go_to_payment_page(world: World, order: Order) -> None:
    url = checkout.start_payment(order, now=world.now)
    session = url.rsplit("/", 1)[-1]
    if session not in world.pages:
        world.pages.append(session)
        checks.assert_voucher_cap(world, session)


@dataclass(frozen=True)
class OpenSecondPage:
    """A second payment page of an order is open at Stripe, beside ours: the customer may pay twice."""

    page: int = 0

    def __call__(self, world: World) -> None:
        session = choose(world.pages, self.page)
        if session is None:
            return
        with world.sandbox._transaction(write=False) as tx:
            first = tx.load("checkout.session", session)
        second = call_as_dashboard(
            world,
            "/v1/checkout/sessions",
            **{
                "mode": "payment",
                "success_url": first["success_url"],
                "payment_method_types[0]": "card",
                "line_items[0][quantity]": 1,
                "line_items[0][price_data][currency]": "jpy",
                "line_items[0][price_data][unit_amount]": first["amount_total"],
                "line_items[0][price_data][product_data][name]": "the same goods",
                "payment_intent_data[capture_method]": "automatic",
                **{f"metadata[{name}]": value for name, value in first["metadata"].items()},
                **{
                    f"payment_intent_data[metadata][{name}]": value
                    for name, value in first["metadata"].items()
                },
            },
        )
        world.pages.append(second["id"])


@dataclass(frozen=True)
class Pay:
    """A customer submits a card on an open payment page; `late`: Stripe captures a little later."""

    card: str = "4242424242424242"
    page: int = 0
    late: bool = False

    def __call__(self, world: World) -> None:
        session = choose(world.pages, self.page)
        if session is None:
            return
        if self.late:
            with world.sandbox._transaction(write=True) as tx:
                data = tx.private(session)
                data["intent_data"]["capture_method"] = "automatic_async"
                tx.db.execute("UPDATE objects SET private = ? WHERE id = ?", (json.dumps(data), session))
        try:
            outcome = world.sandbox.pay(session, card=self.card).outcome
        except SessionNotOpen:
            world.pages.remove(session)
            return
        if outcome == "succeeded":
            world.pages.remove(session)
        elif outcome == "requires_action":
            world.challenged.append(session)


@dataclass(frozen=True)
class Authenticate:
    """A customer completes the bank's authentication, or fails it."""

    succeeds: bool = True
    page: int = 0

    def __call__(self, world: World) -> None:
        session = choose(world.challenged, self.page)
        if session is None:
            return
        world.challenged.remove(session)
        try:
            outcome = world.sandbox.authenticate(session, succeeds=self.succeeds).outcome
        except (SessionNotOpen, NothingToAuthenticate):
            return
        if outcome == "succeeded" and session in world.pages:
            world.pages.remove(session)


@dataclass(frozen=True)
class ChooseKonbini:
    """A customer chooses to pay at a convenience store on an open payment page."""

    page: int = 0

    def __call__(self, world: World) -> None:
        session = choose(world.pages, self.page)
        if session is None:
            return
        try:
            world.sandbox.choose_konbini(session)
        except MethodNotOffered:
            return
        except SessionNotOpen:
            world.pages.remove(session)
        else:
            world.pages.remove(session)
            world.vouchers.append(session)


@dataclass(frozen=True)
class CompleteWithoutPayment:
    """An open page is complete at Stripe, paid or with nothing to pay, and names no payment."""

    status: Literal["paid", "no_payment_required"] = "no_payment_required"
    page: int = 0

    def __call__(self, world: World) -> None:
        session_id = choose(world.pages, self.page)
        if session_id is None:
            return
        world.pages.remove(session_id)
        with world.sandbox._transaction(write=True) as tx:
            session = tx.load("checkout.session", session_id)
            if session["status"] != "open" or session["payment_intent"] is not None:
                return  # what was begun on it may still be paid
            complete = {**session, "status": "complete", "payment_status": self.status, "url": None}
            tx.save({**complete, "payment_intent": None})
            tx.unschedule(session_id)
            record_event(tx, "checkout.session.completed", {**complete, "payment_intent": None})


@dataclass(frozen=True)
class ReturnToThanks:
    """A customer's browser shows the thank-you page, which asks Stripe once."""

    order: int = 0

    def __call__(self, world: World) -> None:
        order = choose_order(self.order, OrderStatus.PENDING)
        if order is not None:
            confirmation.ask_once(order, now=world.now)


@dataclass(frozen=True)
class PayVoucher:
    """A customer pays a voucher at the counter, in time or too late."""

    voucher: int = 0

    def __call__(self, world: World) -> None:
        session = choose(world.vouchers, self.voucher)
        if session is not None:
            world.vouchers.remove(session)
            with suppress(NoVoucher):
                world.sandbox.pay_voucher(session)


@dataclass(frozen=True)
class ExpireVoucher:
    """A voucher expires now."""

    voucher: int = 0

    def __call__(self, world: World) -> None:
        session = choose(world.vouchers, self.voucher)
        if session is not None:
            world.vouchers.remove(session)
            with suppress(NoVoucher):
                world.sandbox.expire_voucher(session)


@dataclass(frozen=True)
class AnswerRefund:
    """A customer names the bank account for a refund, or lets 45 days pass, or staff cancel the refund."""

    answer: Literal["account", "wrong account", "silence", "given up"] = "account"
    refund: int = 0

    def __call__(self, world: World) -> None:
        with world.sandbox._transaction(write=False) as tx:
            listed = reversed(tx.page("refund").data)
        refund = choose(
            [refund["id"] for refund in listed if refund["status"] == "requires_action"], self.refund
        )
        if refund is None:
            return
        if self.answer == "silence":
            world.sandbox.ignore_refund(refund)
        elif self.answer == "given up":
            call_as_dashboard(world, f"/v1/refunds/{refund}/cancel")
        else:
            world.sandbox.claim_refund(refund, bank_accepts=self.answer == "account")


@dataclass(frozen=True)
class Cancel:
    """A customer or the shop cancels an order, whatever its state."""

    order: int = 0
    by_customer: bool = True

    def __call__(self, world: World) -> None:
        order = choose_order(self.order, *OrderStatus.values)
        if order is not None:
            cancellation.cancel(
                order=order,
                reason=Order.CancelReason.CUSTOMER if self.by_customer else Order.CancelReason.STAFF,
                actor="test",
                now=world.now,
            )


# ── Staff ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Ship:
    """Staff ship all unshipped pieces, or these quantities of the lines, sold or as a gift."""

    pieces: tuple[int, ...] = ()
    order: int = 0
    clicks: int = 1
    gift: bool = False

    def __call__(self, world: World) -> None:
        order = choose_order(self.order, OrderStatus.PAID, OrderStatus.PARTIALLY_SHIPPED)
        if order is None:
            return
        quantities = None
        if self.pieces:
            lines = order.lines.order_by("position")
            quantities = {
                line.pk: min(pieces, line.shippable) for line, pieces in zip(lines, self.pieces, strict=False)
            }
        nonce = world.new_nonce("parcel")
        for _click in range(self.clicks):
            shipping.ship(
                order=order,
                quantities=quantities,
                carrier="ヤマト運輸",
                tracking_number="",
                nonce=nonce,
                actor="test",
                now=world.now,
                gift=Shipment.Gift.COURTESY if self.gift else "",
            )


@dataclass(frozen=True)
class Refund:
    """Staff refund everything left, thousandths of the total, or these quantities of the lines."""

    thousandths: int = 0
    pieces: tuple[int, ...] = ()
    shipping: bool = False
    restock: bool = False
    order: int = 0
    clicks: int = 1

    def __call__(self, world: World) -> None:
        order = choose_order(self.order, *OrderStatus.values)
        if order is None:
            return
        lines = order.lines.order_by("position")
        request = RefundRequest(
            amount=max(1, order.total * self.thousandths // 1000) if self.thousandths else None,
            quantities={line.pk: pieces for line, pieces in zip(lines, self.pieces, strict=False)},
            include_shipping=self.shipping,
            restock=self.restock,
        )
        nonce = world.new_nonce("refund")
        for _click in range(self.clicks):
            refunds.request_refund(order=order, request=request, nonce=nonce, actor="test", now=world.now)


@dataclass(frozen=True)
class RefundAtStripe:
    """Staff refund thousandths of the rest of a charge in Stripe's dashboard, without the shop."""

    thousandths: int = 1000
    charge: int = 0

    def __call__(self, world: World) -> None:
        with world.sandbox._transaction(write=False) as tx:
            charges = [charge for charge in reversed(tx.page("charge").data) if _is_ours(charge)]
        charge = choose(charges, self.charge)
        if charge is None:
            return
        left = charge["amount_captured"] - charge["amount_refunded"]
        if left:
            call_as_dashboard(
                world,
                "/v1/refunds",
                charge=charge["id"],
                amount=max(1, min(left, left * self.thousandths // 1000)),
            )


def _is_ours(charge: Mapping[str, Any]) -> bool:
    """Return whether a charge has money of an order of the shop."""
    return bool(charge["paid"] and charge["metadata"].get("order"))


def call_as_dashboard(world: World, path: str, **fields: Any) -> dict[str, Any]:
    """Send a request to Stripe that does not come from our code, and return its answer."""
    answer = world.sandbox.handle(
        Request(
            method="POST",
            target=path,
            headers={
                "Authorization": "Bearer sk_test_dashboard",
                "Stripe-Version": settings.STRIPE_API_VERSION,
                "Content-Type": "application/x-www-form-urlencoded",
            },
            body=urlencode(fields).encode(),
        )
    )
    assert answer.status == 200, answer.body
    answered: dict[str, Any] = json.loads(answer.body)
    return answered


@dataclass(frozen=True)
class ChangeStock:
    """Staff receive pieces, or correct the stock."""

    delta: int
    item: int = 0

    def __call__(self, world: World) -> None:
        item = StockItem.objects.get(pk=world.items[self.item].pk)
        source = world.new_nonce("count")
        if self.delta > 0:
            stock.receive(item, self.delta, source=source, actor="test", now=world.now)
        else:
            stock.adjust(item, delta=self.delta, source=source, actor="test", note="", now=world.now)


# ── Stripe's webhooks ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Deliver:
    """Stripe delivers the waiting events in order; or these picks in this order, with repetitions."""

    picks: tuple[int, ...] = ()

    def __call__(self, world: World) -> None:
        waiting = world.sandbox.pending_deliveries()
        for delivery in (
            [waiting[pick % len(waiting)] for pick in self.picks] if self.picks and waiting else waiting
        ):
            world.deliver(delivery)


@dataclass(frozen=True)
class RepeatEvent:
    """Stripe delivers an event again that was answered with 200."""

    event: int = 0

    def __call__(self, world: World) -> None:
        delivery = choose(world.delivered, self.event)
        if delivery is not None:
            assert world.deliver(delivery)


@dataclass(frozen=True)
class LoseEvent:
    """An event never arrives: Stripe gave up, or the endpoint's address was wrong."""

    event: int = 0

    def __call__(self, world: World) -> None:
        delivery = choose(world.sandbox.pending_deliveries(), self.event)
        if delivery is not None:
            world.sandbox.mark_delivered(delivery.event_id, 200)


# ── Time ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Wait:
    """Time passes without any of our code running."""

    seconds: int

    def __call__(self, world: World) -> None:
        world.wait(timedelta(seconds=self.seconds))


@dataclass(frozen=True)
class WaitForMidnight:
    """Time passes until midnight in Japan, plus some seconds (negative: before midnight)."""

    seconds: int = 0

    def __call__(self, world: World) -> None:
        _start, end = day_bounds(business_day(world.now))
        world.wait(end + timedelta(seconds=self.seconds) - world.now)


@dataclass(frozen=True)
class Run:
    """Scheduled jobs run."""

    jobs: tuple[str, ...] = tuple(JOBS)

    def __call__(self, world: World) -> None:
        world.run(*self.jobs)


@dataclass(frozen=True)
class Close:
    """The nightly job closes every day that has ended."""

    def __call__(self, world: World) -> None:
        world.close()


# ── Faults ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class PowerCut:
    """The power is cut at the n-th step of an action, from 0; then the process restarts."""

    action: Action
    step: int = 0

    def __call__(self, world: World) -> None:
        crash = CrashAt(self.step + 1)
        try:
            with observe_steps(crash):
                self.action(world)
        except Crash:
            world.restart()
            world.mails_in_doubt += any(
                step.kind == "mail" and step.when == "after" for step in crash.observed[-2:]
            )


@dataclass(frozen=True)
class StripeUnreachable:
    """Stripe is unreachable from the n-th request of an action on, counted from 0."""

    action: Action
    request: int = 0

    def __call__(self, world: World) -> None:
        with _failing("stripe", "before", NO_ANSWER, first=self.request):
            self.action(world)


@dataclass(frozen=True)
class AnswerLost:
    """Stripe executes the n-th request of an action, counted from 0, and its answer is lost."""

    action: Action
    request: int = 0

    def __call__(self, world: World) -> None:
        with _failing("stripe", "after", NO_ANSWER, first=self.request, times=1):
            self.action(world)


@dataclass(frozen=True)
class DiskFull:
    """The disk is full from the n-th file of an action on, counted from 0."""

    action: Action
    file: int = 0

    def __call__(self, world: World) -> None:
        with _failing("file", "before", OSError(errno.ENOSPC, "the disk is full"), first=self.file):
            self.action(world)


@dataclass(frozen=True)
class NoMailServer:
    """The mail server is unreachable during an action."""

    action: Action

    def __call__(self, world: World) -> None:
        with _failing("mail", "before", SMTPServerDisconnected()):
            self.action(world)


@contextmanager
def _failing(
    kind: str, when: str, error: Exception, *, first: int = 0, times: int | None = None
) -> Iterator[None]:
    """Raise an error at the steps of a kind, and suppress the errors that our code reports for it."""
    count = 0

    def on_step(step: Step) -> None:
        nonlocal count
        if (step.kind, step.when) == (kind, when):
            count += 1
            if count > first and (times is None or count <= first + times):
                raise error

    try:
        with observe_steps(on_step):
            yield
    except (checkout.PaymentUnavailable, StripeUnavailable, daily_close.CloseFailed, OSError):
        if count <= first:
            raise  # no step was made to fail yet


# ── Histories ────────────────────────────────────────────────────────────────────────────────────────────

PEOPLE = (Place, ReturnToPay, Cancel, Ship, Refund, ChangeStock)


def play(world: World, history: Sequence[Action]) -> None:
    """Run the actions one after the other."""
    for action in history:
        try:
            action(world)
        except REFUSALS:
            if not isinstance(getattr(action, "action", action), PEOPLE):
                raise  # only actions_of_people may be refused; jobs and webhooks must succeed


small_numbers = st.integers(0, 3)
pieces = st.lists(small_numbers, min_size=1, max_size=4).map(tuple)
clicks = st.sampled_from([1, 1, 1, 2])
thousandths = st.one_of(st.sampled_from([1000, 500, 1]), st.integers(1, 1100))
line = st.tuples(small_numbers, st.sampled_from([11_000, 1_080, 333, 60, 1, 150_000]), st.integers(1, 4))
order = st.builds(
    Place,
    lines=st.lists(line, min_size=1, max_size=4).map(tuple),
    shipping_fee=st.sampled_from([0, 500]),
    discount=st.sampled_from([0, 0, 0, 1, 500]),
    clicks=clicks,
)
pay = st.builds(
    Pay, card=st.sampled_from(["4242424242424242", *CARDS]), page=small_numbers, late=st.booleans()
)
actions_of_people = st.one_of(
    order,
    pay,
    pay,
    st.builds(ReturnToPay, order=small_numbers),
    st.builds(OpenSecondPage, page=small_numbers),
    st.builds(Authenticate, succeeds=st.booleans(), page=small_numbers),
    st.builds(ChooseKonbini, page=small_numbers),
    st.builds(ChooseKonbini, page=small_numbers),
    st.builds(
        CompleteWithoutPayment,
        status=st.sampled_from(["paid", "no_payment_required"]),
        page=small_numbers,
    ),
    st.builds(ReturnToThanks, order=small_numbers),
    st.builds(PayVoucher, voucher=small_numbers),
    st.builds(ExpireVoucher, voucher=small_numbers),
    st.builds(
        AnswerRefund,
        answer=st.sampled_from(["account", "wrong account", "silence", "given up"]),
        refund=small_numbers,
    ),
    st.builds(Cancel, order=small_numbers, by_customer=st.booleans()),
    st.builds(Ship, order=small_numbers, clicks=clicks),
    st.builds(Ship, pieces=pieces, order=small_numbers, gift=st.booleans()),
    st.builds(Refund, order=small_numbers, clicks=clicks, restock=st.booleans()),
    st.builds(Refund, thousandths=thousandths, order=small_numbers),
    st.builds(Refund, pieces=pieces, shipping=st.booleans(), restock=st.booleans(), order=small_numbers),
    st.builds(RefundAtStripe, thousandths=thousandths, charge=small_numbers),
    st.builds(ChangeStock, delta=st.sampled_from([5, -1, -3]), item=small_numbers),
)
actions_of_machines = st.one_of(
    st.builds(Deliver),
    st.builds(Deliver),
    st.builds(Deliver, picks=st.lists(st.integers(0, 9), min_size=1, max_size=8).map(tuple)),
    st.builds(RepeatEvent, event=st.integers(0, 9)),
    st.builds(Run),
    st.builds(Run, jobs=st.lists(st.sampled_from(list(JOBS)), min_size=1, max_size=3).map(tuple)),
    st.builds(Close),
)
time = st.one_of(
    st.builds(Wait, seconds=st.sampled_from([5, 60, 180, 660, 2_400, 7_200, 36_000, 86_400, 345_600])),
    st.builds(WaitForMidnight, seconds=st.sampled_from([-1, 0, 1, 3_600])),
)
without_faults = st.one_of(actions_of_people, actions_of_people, actions_of_machines, time)
action = actions_of_people | actions_of_machines
fault = st.one_of(
    st.builds(PowerCut, action=action, step=st.integers(0, 40)),
    st.builds(StripeUnreachable, action=action, request=small_numbers),
    st.builds(AnswerLost, action=action, request=small_numbers),
    st.builds(DiskFull, action=st.just(Close()), file=small_numbers),
    st.builds(NoMailServer, action=st.builds(Run)),
    st.builds(ForeignKey, action=action),
    st.builds(CloseAhead, days=st.sampled_from([1, 2, 30])),
    st.builds(ForeignCharge, kind=st.sampled_from(["yen", "dollars", "authorised"])),
    st.builds(HoldReserve, amount=st.sampled_from([1, 3_000])),
    st.sampled_from(
        [ForgeEntry(), ForgeEntry("refund", "failed"), ForgeEntry("entry", "reversal"), ForgeEntry("x", "y")]
    ),
    st.builds(LoseEvent, event=small_numbers),
)


@st.composite
def histories(draw: st.DrawFn, max_actions: int) -> list[Action]:
    """Draw a history of at most so many actions after a first sale; a third of them have no faults."""
    with_faults = draw(st.sampled_from([True, True, False]))
    actions = st.one_of(without_faults, without_faults, fault) if with_faults else without_faults
    # an action that does not matter shrinks to None
    rest = draw(st.lists(st.none() | actions, min_size=max_actions, max_size=max_actions))
    return [
        draw(order),
        draw(pay | st.builds(ChooseKonbini)),
        Deliver(),
        *(action for action in rest if action is not None),
    ]
