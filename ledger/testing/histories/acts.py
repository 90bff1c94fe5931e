"""What may happen in a history: plain values, so that a failing one can be read, shrunk and pasted into a test.

An act names what it is about by a number that is taken modulo what there is to choose from, and does nothing when
there is nothing. What the domain refuses is refused; every other exception ends the history.
"""

import errno
import json
from collections.abc import Iterator, Sequence
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
from ledger.closing import daily_close
from ledger.models import Order, StockItem
from ledger.models.orders import OrderStatus
from ledger.sales import cancellation, checkout, orders, refunds, shipping, stock
from ledger.sales.orders import NewLine
from ledger.sales.refunds import RefundRequest
from ledger.stripe.client import StripeUnavailable
from ledger.testing.build import ADDRESS
from ledger.testing.histories.world import JOBS, RATES, SKUS, World
from ledger.testing.steps import Crash, CrashAt, Step, steps

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


SILENCE = stripe.APIConnectionError("nobody answers")  # type: ignore[no-untyped-call]


class Act(Protocol):
    """Something that happens."""

    def __call__(self, world: World) -> None:
        """Let it happen in a world."""


def chosen(candidates: Sequence[T], which: int) -> T | None:
    """Choose the newest for 0, older ones for more."""
    return candidates[-1 - which % len(candidates)] if candidates else None


def order_in(which: int, *states: str) -> Order | None:
    """Choose among the orders in some states."""
    return chosen(list(Order.objects.filter(status__in=states).order_by("pk")), which)


# ── Customers ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Place:
    """A customer orders: lines of (item, price, quantity); then goes to the payment page."""

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
                    NewLine(
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
class Return:
    """A customer comes back to the page of an unpaid order and wants to pay."""

    order: int = 0

    def __call__(self, world: World) -> None:
        order = order_in(self.order, OrderStatus.PENDING)
        if order is not None:
            go_to_payment_page(world, order)


def go_to_payment_page(world: World, order: Order) -> None:
    url = checkout.start_payment(order, now=world.now)
    session = url.rsplit("/", 1)[-1]
    if session not in world.pages:
        world.pages.append(session)


@dataclass(frozen=True)
class Pay:
    """A customer submits a card on a page that he has open; `late`: Stripe captures it a little later."""

    card: str = "4242424242424242"
    page: int = 0
    late: bool = False

    def __call__(self, world: World) -> None:
        session = chosen(world.pages, self.page)
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
    """A customer answers the bank's question."""

    succeeds: bool = True
    page: int = 0

    def __call__(self, world: World) -> None:
        session = chosen(world.challenged, self.page)
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
class TakeVoucher:
    """A customer chooses the convenience store on a page that he has open."""

    page: int = 0

    def __call__(self, world: World) -> None:
        session = chosen(world.pages, self.page)
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
class PayVoucher:
    """A customer pays at the counter, in time or too late."""

    voucher: int = 0

    def __call__(self, world: World) -> None:
        session = chosen(world.vouchers, self.voucher)
        if session is not None:
            world.vouchers.remove(session)
            with suppress(NoVoucher):
                world.sandbox.pay_voucher(session)


@dataclass(frozen=True)
class LetVoucherLapse:
    """The time of a voucher is over at once."""

    voucher: int = 0

    def __call__(self, world: World) -> None:
        session = chosen(world.vouchers, self.voucher)
        if session is not None:
            world.vouchers.remove(session)
            with suppress(NoVoucher):
                world.sandbox.expire_voucher(session)


@dataclass(frozen=True)
class AnswerRefund:
    """A customer names the bank account that his refund goes to; or the 45 days are over; or the shop gives up."""

    answer: Literal["account", "wrong account", "silence", "given up"] = "account"
    refund: int = 0

    def __call__(self, world: World) -> None:
        with world.sandbox._transaction(write=False) as tx:
            listed = reversed(tx.page("refund").data)
        refund = chosen(
            [refund["id"] for refund in listed if refund["status"] == "requires_action"], self.refund
        )
        if refund is None:
            return
        if self.answer == "silence":
            world.sandbox.ignore_refund(refund)
        elif self.answer == "given up":
            at_the_dashboard(world, f"/v1/refunds/{refund}/cancel")
        else:
            world.sandbox.claim_refund(refund, bank_accepts=self.answer == "account")


@dataclass(frozen=True)
class Cancel:
    """A customer or the shop cancels an order in whatever state."""

    order: int = 0
    by_customer: bool = True

    def __call__(self, world: World) -> None:
        order = order_in(self.order, *OrderStatus.values)
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
    """Staff ship all that is left, or so many pieces of each line."""

    pieces: tuple[int, ...] = ()
    order: int = 0
    clicks: int = 1

    def __call__(self, world: World) -> None:
        order = order_in(self.order, OrderStatus.PAID, OrderStatus.PARTIALLY_SHIPPED)
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
                carrier=shipping.CARRIERS[0],
                tracking_number="",
                nonce=nonce,
                actor="test",
                now=world.now,
            )


@dataclass(frozen=True)
class Refund:
    """Staff refund all that is left, a part of the total in thousandths, or pieces of each line."""

    thousandths: int = 0
    pieces: tuple[int, ...] = ()
    shipping: bool = False
    restock: bool = False
    order: int = 0
    clicks: int = 1

    def __call__(self, world: World) -> None:
        order = order_in(self.order, *OrderStatus.values)
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
    """Somebody refunds a part of what is left of a charge in Stripe's dashboard, past the shop."""

    thousandths: int = 1000
    charge: int = 0

    def __call__(self, world: World) -> None:
        with world.sandbox._transaction(write=False) as tx:
            charges = [charge for charge in reversed(tx.page("charge").data) if charge["paid"]]
        charge = chosen(charges, self.charge)
        if charge is None:
            return
        left = charge["amount_captured"] - charge["amount_refunded"]
        if left:
            at_the_dashboard(
                world,
                "/v1/refunds",
                charge=charge["id"],
                amount=max(1, min(left, left * self.thousandths // 1000)),
            )


def at_the_dashboard(world: World, path: str, **fields: Any) -> None:
    """Do something at Stripe that our code knows nothing of."""
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


@dataclass(frozen=True)
class Count:
    """Staff receive pieces, or correct the shelf."""

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
    """Stripe delivers what waits, in order; or these, in this order, an event as often as it is named."""

    picks: tuple[int, ...] = ()

    def __call__(self, world: World) -> None:
        waiting = world.sandbox.pending_deliveries()
        for delivery in (
            [waiting[pick % len(waiting)] for pick in self.picks] if self.picks and waiting else waiting
        ):
            world.deliver(delivery)


@dataclass(frozen=True)
class Repeat:
    """Stripe delivers an event again that was answered 200."""

    event: int = 0

    def __call__(self, world: World) -> None:
        delivery = chosen(world.delivered, self.event)
        if delivery is not None:
            assert world.deliver(delivery)


@dataclass(frozen=True)
class Lose:
    """An event never arrives: Stripe gave up, or the endpoint was wrong."""

    event: int = 0

    def __call__(self, world: World) -> None:
        delivery = chosen(world.sandbox.pending_deliveries(), self.event)
        if delivery is not None:
            world.sandbox.mark_delivered(delivery.event_id, 200)


# ── Time ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Wait:
    """Time passes and nothing happens of ours."""

    seconds: int

    def __call__(self, world: World) -> None:
        world.wait(timedelta(seconds=self.seconds))


@dataclass(frozen=True)
class WaitForMidnight:
    """It becomes midnight in Japan, give or take some seconds."""

    seconds: int = 0

    def __call__(self, world: World) -> None:
        _start, end = day_bounds(business_day(world.now))
        world.wait(end + timedelta(seconds=self.seconds) - world.now)


@dataclass(frozen=True)
class Run:
    """Jobs of the schedule run."""

    jobs: tuple[str, ...] = tuple(JOBS)

    def __call__(self, world: World) -> None:
        world.run(*self.jobs)


@dataclass(frozen=True)
class Close:
    """The night's job closes every day that has ended."""

    def __call__(self, world: World) -> None:
        world.close()


# ── Trouble ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class PowerCut:
    """The power is cut at the n-th step of an act, from 0; the process is started again."""

    act: Act
    step: int = 0

    def __call__(self, world: World) -> None:
        power = CrashAt(self.step + 1)
        try:
            with steps(power):
                self.act(world)
        except Crash:
            world.restart()
            world.mails_in_doubt += any(
                step.kind == "mail" and step.when == "after" for step in power.seen[-2:]
            )


@dataclass(frozen=True)
class StripeIsSilent:
    """From the n-th request of an act on, from 0, Stripe can not be reached."""

    act: Act
    request: int = 0

    def __call__(self, world: World) -> None:
        with _failing("stripe", "before", SILENCE, first=self.request):
            self.act(world)


@dataclass(frozen=True)
class AnswerLost:
    """Stripe does what the n-th request of an act asks for, from 0, and its answer never comes."""

    act: Act
    request: int = 0

    def __call__(self, world: World) -> None:
        with _failing("stripe", "after", SILENCE, first=self.request, times=1):
            self.act(world)


@dataclass(frozen=True)
class DiskFull:
    """From the n-th file of an act on, from 0, nothing can be written."""

    act: Act
    file: int = 0

    def __call__(self, world: World) -> None:
        with _failing("file", "before", OSError(errno.ENOSPC, "the disk is full"), first=self.file):
            self.act(world)


@dataclass(frozen=True)
class NoMailServer:
    """No mail can be sent while an act happens."""

    act: Act

    def __call__(self, world: World) -> None:
        with _failing("mail", "before", SMTPServerDisconnected()):
            self.act(world)


@contextmanager
def _failing(
    kind: str, when: str, error: Exception, *, first: int = 0, times: int | None = None
) -> Iterator[None]:
    """Raise an error at the steps of a kind, and let pass what our code makes of it."""
    count = 0

    def on_step(step: Step) -> None:
        nonlocal count
        if (step.kind, step.when) == (kind, when):
            count += 1
            if count > first and (times is None or count <= first + times):
                raise error

    try:
        with steps(on_step):
            yield
    except (checkout.PaymentUnavailable, StripeUnavailable, daily_close.CloseFailed, OSError):
        if count <= first:
            raise  # nothing had failed yet


# ── Histories ────────────────────────────────────────────────────────────────────────────────────────────

BY_PEOPLE = (Place, Return, Cancel, Ship, Refund, Count)


def play(world: World, history: Sequence[Act]) -> None:
    """Let the acts happen one after the other."""
    for act in history:
        try:
            act(world)
        except REFUSALS:
            if not isinstance(getattr(act, "act", act), BY_PEOPLE):
                raise  # refusing is for people: a job or a webhook has to cope


few = st.integers(0, 3)
pieces = st.lists(few, min_size=1, max_size=4).map(tuple)
clicks = st.sampled_from([1, 1, 1, 2])
thousandths = st.one_of(st.sampled_from([1000, 500, 1]), st.integers(1, 1100))
line = st.tuples(few, st.sampled_from([11_000, 1_080, 333, 1, 150_000]), st.integers(1, 4))
order = st.builds(
    Place,
    lines=st.lists(line, min_size=1, max_size=4).map(tuple),
    shipping_fee=st.sampled_from([0, 500]),
    discount=st.sampled_from([0, 0, 0, 1, 500]),
    clicks=clicks,
)
pay = st.builds(Pay, card=st.sampled_from(["4242424242424242", *CARDS]), page=few, late=st.booleans())
people = st.one_of(
    order,
    pay,
    pay,
    st.builds(Return, order=few),
    st.builds(Authenticate, succeeds=st.booleans(), page=few),
    st.builds(TakeVoucher, page=few),
    st.builds(TakeVoucher, page=few),
    st.builds(PayVoucher, voucher=few),
    st.builds(LetVoucherLapse, voucher=few),
    st.builds(
        AnswerRefund, answer=st.sampled_from(["account", "wrong account", "silence", "given up"]), refund=few
    ),
    st.builds(Cancel, order=few, by_customer=st.booleans()),
    st.builds(Ship, order=few, clicks=clicks),
    st.builds(Ship, pieces=pieces, order=few),
    st.builds(Refund, order=few, clicks=clicks, restock=st.booleans()),
    st.builds(Refund, thousandths=thousandths, order=few),
    st.builds(Refund, pieces=pieces, shipping=st.booleans(), restock=st.booleans(), order=few),
    st.builds(RefundAtStripe, thousandths=thousandths, charge=few),
    st.builds(Count, delta=st.sampled_from([5, -1, -3]), item=few),
)
machines = st.one_of(
    st.builds(Deliver),
    st.builds(Deliver),
    st.builds(Deliver, picks=st.lists(st.integers(0, 9), min_size=1, max_size=8).map(tuple)),
    st.builds(Repeat, event=st.integers(0, 9)),
    st.builds(Run),
    st.builds(Run, jobs=st.lists(st.sampled_from(list(JOBS)), min_size=1, max_size=3).map(tuple)),
    st.builds(Close),
)
time = st.one_of(
    st.builds(Wait, seconds=st.sampled_from([5, 60, 180, 660, 2_400, 7_200, 36_000, 86_400, 345_600])),
    st.builds(WaitForMidnight, seconds=st.sampled_from([-1, 0, 1, 3_600])),
)
calm = st.one_of(people, people, machines, time)
act = people | machines
trouble = st.one_of(
    st.builds(PowerCut, act=act, step=st.integers(0, 40)),
    st.builds(StripeIsSilent, act=act, request=few),
    st.builds(AnswerLost, act=act, request=few),
    st.builds(DiskFull, act=st.just(Close()), file=few),
    st.builds(NoMailServer, act=st.builds(Run)),
    st.builds(Lose, event=few),
)


@st.composite
def histories(draw: st.DrawFn, slots: int) -> list[Act]:
    """Draw a history of at most so many acts after a first sale; a third of them calm, so that they come far."""
    troubled = draw(st.sampled_from([True, True, False]))
    acts = st.one_of(calm, calm, trouble) if troubled else calm
    # an empty slot is what an act that does not matter shrinks to
    rest = draw(st.lists(st.none() | acts, min_size=slots, max_size=slots))
    return [
        draw(order),
        draw(pay | st.builds(TakeVoucher)),
        Deliver(),
        *(act for act in rest if act is not None),
    ]
