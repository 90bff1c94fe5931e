"""A history of demo orders, in the shop and in the Stripe stand-in, written by the functions of real orders.

The steps of all orders (placed, paid or not, shipped, refunded) run in the order of time, with `now` in the
past and the stand-in's clock set to it. No row is inserted directly, so that the days can be closed like real
ones. The result is deterministic for the same shop and day.
"""

import heapq
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import NoReturn

from django.conf import settings
from django.db.models import F

from kikaku import days
from kikaku.sandbox import ClockInUse, Sandbox, adapter
from ledger.ingest import balance, inbox
from ledger.ingest.events import PaymentNotYetKnown
from ledger.models import (
    CheckoutAttempt,
    DailyClose,
    Order,
    OrderEvent,
    OutgoingMail,
    Refund,
    StockItem,
)
from ledger.models.orders import OrderStatus
from ledger.sales import cancellation, checkout, orders, refunds, shipping, stock
from ledger.sales.history import SYSTEM
from ledger.sales.mail import mail_event
from ledger.stripe.methods import KONBINI
from shop.demo.people import Person, people
from shop.models import Product, Variant

MAIL_SENT = OrderEvent.Kind.MAIL_SENT
MAX_DAYS = 28  # the first fetch of Stripe's balance goes back 30 days
VISA, MASTERCARD, JCB, AMEX = "4242424242424242", "5555555555554444", "3566002020360505", "378282246310005"
DECLINED = "4000000000000002"
CARRIERS = ("ヤマト運輸", "佐川急便", "日本郵便")
REFUND_REASONS = {
    "whole": "お客様のご都合",
    "cancel": "一部キャンセル",
    "return": "一部返品",
    "amount": "箱のへこみ",
}
# orders by hour in JST
HOUR_WEIGHTS = (1, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 5, 7, 6, 5, 5, 5, 6, 7, 9, 11, 12, 10, 0)
LOW_STOCK = 5  # pieces; below it stock is received
REFILL_QUANTITY = 40


class HistoryRefused(Exception):
    """Raised when the history cannot be written; the text says what to do."""


@dataclass(frozen=True)
class Written:
    """The result of writing a history."""

    first: date
    last: date
    counts: Counter[str]
    seconds: float

    def summary(self) -> str:
        """Return the result in one line."""
        parts = ", ".join(
            f"{count} {what}" for what, count in sorted(self.counts.items(), key=lambda x: -x[1])
        )
        rate = self.counts["placed"] / max(self.seconds, 0.001)
        return f"{self.first} to {self.last}: {parts} ({rate:.0f} orders a second)."


def write(
    count: int,
    *,
    days_back: int,
    now: datetime,
    last: date | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Written:
    """Write `count` orders over the `days_back` days (JST) that end with `last`, or else yesterday.

    Raises `HistoryRefused` if one of these days is closed or to come, the shop has no goods, or the clock of
    the Stripe stand-in cannot be set.
    """
    last = last or days.yesterday(now)
    if last > days.yesterday(now):
        raise HistoryRefused(f"A history ends yesterday at the latest, not on {last}.")
    first = last - timedelta(days=days_back - 1)
    _check(first, last, days_back)
    with past_clock():
        return History(count, first=first, last=last, now=now, progress=progress).write()


@contextmanager
def past_clock() -> Iterator[None]:
    """Hold the clock of the stand-in, so that it can be set to the past. Raises `HistoryRefused`."""
    if settings.STRIPE_API_BASE:
        raise HistoryRefused(
            "Unset STRIPE_API_BASE: only the stand-in inside this process can be set to the past."
        )
    try:
        with adapter.sandbox().exclusive_clock():
            yield
    except ClockInUse:
        raise HistoryRefused("Another demo is writing its history: wait for it.") from None


def _check(first: date, last: date, days_back: int) -> None:
    if days_back > MAX_DAYS:
        raise HistoryRefused(f"A history has {MAX_DAYS} days at most, not {days_back}.")
    closed = DailyClose.objects.filter(day__gte=first).order_by("-day").values_list("day", flat=True).first()
    if closed is not None and closed >= last:
        _refuse(
            f"The days up to {closed} are closed, and a closed day gains nothing."
            " There is no open day before today."
        )
    if closed is not None:
        _refuse(
            f"The days up to {closed} are closed, and a closed day gains nothing. "
            f"Write the open ones: --days {(last - closed).days}."
        )


def _refuse(message: str) -> NoReturn:
    raise HistoryRefused(message)


@dataclass(order=True)
class _Step:
    """An action at an instant."""

    at: datetime
    number: int  # orders the steps of one instant
    action: Callable[[datetime], None] = field(compare=False)


@dataclass
class _Clock:
    """The clock of the stand-in while a history is written."""

    now: datetime

    def __call__(self) -> float:
        return self.now.timestamp()


class History:
    """One run: the planned steps, the goods, and the counts."""

    def __init__(
        self,
        count: int,
        *,
        first: date,
        last: date,
        now: datetime,
        progress: Callable[[int], None] = lambda done: None,
    ) -> None:
        self.count = count
        self.first = first
        self.last = last
        self.progress = progress
        self.sandbox: Sandbox = adapter.sandbox()
        self.run = Order.objects.count()  # distinguishes a second history from the first
        self.rng = random.Random(f"{first}:{last}:{count}:{self.run}")  # noqa: S311  (not a secret)
        self.end = min(days.day_bounds(last)[1] - timedelta(minutes=2), now)
        self.clock = _Clock(days.day_bounds(first)[0])
        self.steps: list[_Step] = []
        self.number = 0
        self.counts: Counter[str] = Counter()
        self.refills = 0
        self.variants = self._goods()
        self.weights = [1 / (place + 4) for place in range(len(self.variants))]
        self.people = people(count, seed=self.run + 1)

    def _goods(self) -> list[Variant]:
        """Return the variants to sell: those in good stock, so that scarce ones stay scarce; else all."""
        on_sale = Variant.objects.filter(product__status=Product.Status.ACTIVE).select_related(
            "product", "stock"
        )
        plenty = on_sale.filter(stock__on_hand__gte=F("stock__reserved") + 2 * LOW_STOCK)
        found = list(plenty.order_by("id")) or list(on_sale.order_by("id"))
        if not found:
            raise HistoryRefused("The shop has no goods: run `manage.py demo` first.")
        self.rng.shuffle(found)
        return found

    # ── The steps ────────────────────────────────────────────────────────────────────────────────────────

    def write(self) -> Written:
        """Run all steps in the order of time."""
        started = time.monotonic()
        real_clock = self.sandbox.clock
        self.sandbox.clock = self.clock
        try:
            for number, at in enumerate(self._times()):
                self._plan(at, lambda now, number=number: self._buy(number, now))  # type: ignore[misc]
            self._plan_nights()
            while self.steps:
                step = heapq.heappop(self.steps)
                self.clock.now = step.at
                step.action(step.at)
            self._mark_mails_sent()
        finally:
            self.sandbox.clock = real_clock
        return Written(self.first, self.last, self.counts, time.monotonic() - started)

    def _plan_nights(self) -> None:
        """Schedule the fetch of Stripe's balance transactions at the end of each day."""
        for day in range((days.business_day(self.end) - self.first).days + 1):
            close = days.day_bounds(self.first + timedelta(days=day))[1]
            self._plan(close - timedelta(minutes=2), self._fetch)

    def _fetch(self, now: datetime) -> None:
        balance.fetch_new(now=now)

    def _plan(self, at: datetime, action: Callable[[datetime], None]) -> None:
        """Schedule a step, unless it is after the end of the history."""
        if at <= self.end:
            self.number += 1
            heapq.heappush(self.steps, _Step(at, self.number, action))

    def _times(self) -> Sequence[datetime]:
        """Return the times of the orders, sorted, distributed by `HOUR_WEIGHTS`."""
        span = (self.last - self.first).days + 1
        times = []
        for place in range(self.count):
            start = days.day_bounds(self.first + timedelta(days=place * span // self.count))[0]
            hour = self.rng.choices(range(24), weights=HOUR_WEIGHTS)[0]
            times.append(start + timedelta(hours=hour, seconds=self.rng.randrange(3600)))
        return sorted(times)

    # ── Acts of a customer ───────────────────────────────────────────────────────────────────────────────

    def _buy(self, number: int, now: datetime) -> None:
        person = self.people[number]
        english = self.rng.random() < 0.06
        chosen = dict.fromkeys(
            self.rng.choices(self.variants, self.weights, k=self.rng.choice((1, 1, 1, 2, 2, 3)))
        )
        lines = [self._line(variant, english=english, now=now) for variant in chosen]
        goods = sum(line.unit_price * line.quantity for line in lines)
        order = orders.place_order(
            nonce=f"demo-{self.run}-{self.first:%y%m%d}-{number}",
            language="en" if english else "ja",
            lines=lines,
            address=_address(person),
            discount=0,
            shipping_fee=0 if goods >= settings.FREE_SHIPPING_FROM else settings.SHIPPING_FEE,
            now=now,
        )
        self.counts["placed"] += 1
        self.progress(self.counts["placed"])
        checkout.start_payment(order, now=now)
        self._plan_payment(order, now)

    def _plan_payment(self, order: Order, now: datetime) -> None:
        """Schedule how an order is paid, or not."""
        chance = self.rng.random()
        soon = now + timedelta(seconds=self.rng.randint(40, 400))
        if chance < 0.07:
            self._plan(now + timedelta(minutes=settings.CHECKOUT_MINUTES + 1), self._expire_payment_page)
        elif chance < 0.12:
            self._plan(soon, lambda at: self._pay(order, DECLINED, at))
            self._plan(soon + timedelta(seconds=70), lambda at: self._pay(order, VISA, at))
        elif chance < 0.3 and KONBINI.is_offered(order.total):
            self._plan(soon, lambda at: self._take_voucher(order, at))
        else:
            card = self.rng.choices((VISA, MASTERCARD, JCB, AMEX), (62, 20, 14, 4))[0]
            self._plan(soon, lambda at: self._pay(order, card, at))

    def _line(self, variant: Variant, *, english: bool, now: datetime) -> orders.NewOrderLine:
        quantity = self.rng.choice((1, 1, 1, 1, 2, 2, 3, 4)) if variant.price < 8_000 else 1
        item: StockItem = variant.stock
        item.refresh_from_db()
        if item.available < quantity + LOW_STOCK:
            self.refills += 1
            stock.receive(
                item, REFILL_QUANTITY, source=f"demo:{self.run}:{self.refills}", actor="demo", now=now
            )
        title = variant.product.title_en if english else variant.product.title_ja
        option = variant.option_en if english else variant.option_ja
        return orders.NewOrderLine(
            item_id=item.pk,
            sku=variant.sku,
            title=f"{title} {option}".strip(),
            title_ja=f"{variant.product.title_ja} {variant.option_ja}".strip(),
            unit_price=variant.price,
            quantity=quantity,
            tax_class=variant.tax_class,
        )

    def _pay(self, order: Order, card: str, now: datetime) -> None:
        attempt = order.attempts.get(status=CheckoutAttempt.Status.OPEN)
        result = self.sandbox.pay(str(attempt.session_id), card=card)
        self._deliver(now)
        if result.outcome != "succeeded":
            self.counts["declined"] += 1
            return
        self.counts["paid"] += 1
        self._plan_fulfilment(order, now)

    def _take_voucher(self, order: Order, now: datetime) -> None:
        """Choose the convenience store; then pay, or let the voucher expire, or cancel and pay afterwards."""
        self.sandbox.choose_konbini(str(order.attempts.get().session_id))
        self._deliver(now)
        variant = self.counts["vouchers"] % 8  # in turn, so that a short history has one of each
        self.counts["vouchers"] += 1
        paid = now + timedelta(hours=self.rng.uniform(1, 60))
        if variant == 0:
            deadline = order.attempts.get().voucher_expires_at or now
            self._plan(deadline + timedelta(minutes=20), lambda at: self._expire_voucher(order, at))
        elif variant == 1:
            self._plan(now + timedelta(minutes=45), lambda at: self._cancel(order, at))
            self._plan(paid, lambda at: self._pay_at_counter(order, at))
        else:
            self._plan(paid, lambda at: self._pay_at_counter(order, at))

    def _pay_at_counter(self, order: Order, now: datetime) -> None:
        chain = self.rng.choices(("familymart", "lawson", "ministop", "seicomart"), (45, 40, 10, 5))[0]
        self.sandbox.pay_voucher(str(order.attempts.get().session_id), chain=chain)
        self._deliver(now)
        order.refresh_from_db()
        if order.status == OrderStatus.PAID:
            self.counts["paid"] += 1
            self._plan_fulfilment(order, now)
        else:
            self.counts["paid after cancellation"] += 1
            self._plan(now + timedelta(minutes=5), lambda at: self._send_back(order, at))

    def _send_back(self, order: Order, now: datetime) -> None:
        refunds.send_requested(now=now)
        self._deliver(now)
        self._plan_answer(order.refunds.get(), now)

    def _expire_voucher(self, order: Order, now: datetime) -> None:
        self.sandbox.expire_due()
        self._deliver(now)
        order.refresh_from_db()
        self.counts["vouchers expired"] += order.status == OrderStatus.CANCELLED

    def _cancel(self, order: Order, now: datetime) -> None:
        cancellation.cancel(order=order, reason=Order.CancelReason.CUSTOMER, actor="demo", now=now)
        self.counts["cancelled"] += 1

    def _expire_payment_page(self, now: datetime) -> None:
        self.counts["expired"] += checkout.expire_due(now=now)
        self.sandbox.expire_due()
        self._deliver(now)

    # ── Acts of the staff ────────────────────────────────────────────────────────────────────────────────

    def _plan_fulfilment(self, order: Order, now: datetime) -> None:
        chance = self.rng.random()
        packed = now + timedelta(hours=self.rng.uniform(3, 26))
        if chance < 0.02:
            self._plan(packed, lambda at: self._refund(order, "whole", at))
            return
        if chance < 0.05:
            self._plan(packed - timedelta(hours=1), lambda at: self._refund(order, "line", at))
        if chance < 0.15:
            self._plan(packed, lambda at: self._ship(order, "first", at))
            self._plan(
                packed + timedelta(hours=self.rng.uniform(6, 30)), lambda at: self._ship(order, "rest", at)
            )
        else:
            self._plan(packed, lambda at: self._ship(order, "rest", at))
        if self.rng.random() < 0.08:
            kind = self.rng.choice(("whole", "line", "amount", "amount"))
            self._plan(
                packed + timedelta(hours=self.rng.uniform(8, 40)), lambda at: self._refund(order, kind, at)
            )

    def _ship(self, order: Order, what: str, now: datetime, *, shipped_on: date | None = None) -> None:
        order.refresh_from_db()
        lines = [line for line in order.lines.order_by("position") if line.shippable]
        if not lines or order.status not in (OrderStatus.PAID, OrderStatus.PARTIALLY_SHIPPED):
            return
        part: dict[int, int] | None = None
        if what == "first" and (len(lines) > 1 or lines[0].shippable > 1):
            part = {lines[0].pk: max(1, lines[0].shippable // 2)}
        shipping.ship(
            order=order,
            quantities=part,
            carrier=self.rng.choice(CARRIERS),
            tracking_number=f"{self.rng.randrange(10**11, 10**12)}",
            nonce=f"{order.nonce}-{what}",
            actor="demo",
            now=now,
            shipped_on=shipped_on,
        )
        self.counts["partly shipped" if part else "shipped"] += 1

    def _refund(self, order: Order, what: str, now: datetime) -> None:
        order.refresh_from_db()
        lines = [line for line in order.lines.order_by("position") if line.refundable]
        if not lines:
            return
        if what == "line":
            what = "cancel" if lines[0].shippable else "return"
        try:
            refund = refunds.request_refund(
                order=order,
                request=refunds.RefundRequest(
                    amount=max(1, order.total // 5) if what == "amount" else None,
                    side=refunds.Side.SHIPPED if order.status == OrderStatus.PARTIALLY_SHIPPED else None,
                    cancel={lines[0].pk: 1} if what == "cancel" else {},
                    returns={lines[0].pk: 1} if what == "return" else {},
                    restock=what != "amount",
                    reason=REFUND_REASONS[what],
                ),
                nonce=f"{order.nonce}-refund-{now:%y%m%d%H%M%S}",
                actor="demo",
                now=now,
            )
        except refunds.RefundRefused:
            return  # an earlier refund has left too little
        self.counts["refunds"] += 1
        self._deliver(now)
        self._plan_answer(refund, now)

    def _plan_answer(self, refund: Refund, now: datetime) -> None:
        """Let most customers who paid in cash name the bank account for their refund."""
        if refund.status == Refund.Status.REQUIRES_ACTION and self.rng.random() < 0.8:
            answered = now + timedelta(hours=self.rng.uniform(2, 50))
            self._plan(answered, lambda at: self.sandbox.claim_refund(str(refund.stripe_id)))
            self._plan(answered + timedelta(minutes=1), self._deliver)

    # ── Webhooks and mail ────────────────────────────────────────────────────────────────────────────────

    def _deliver(self, now: datetime) -> None:
        """Process the stand-in's events as the webhook does."""
        for delivery in self.sandbox.pending_deliveries():
            event = inbox.receive(delivery.body, delivery.headers["Stripe-Signature"], now=now)
            try:
                inbox.process(event.pk, now=now)
                status = 200
            except PaymentNotYetKnown:
                status = 500
            self.sandbox.mark_delivered(delivery.event_id, status)

    def _mark_mails_sent(self) -> None:
        """Mark the mails of the history as sent, so that no job sends them."""
        queued = OutgoingMail.objects.filter(
            order__nonce__startswith=f"demo-{self.run}-", status=OutgoingMail.Status.QUEUED
        )
        events = (
            mail_event(MAIL_SENT, mail, mail.order_id, actor=SYSTEM, now=mail.created_at)
            for mail in queued.iterator(500)
            if mail.order_id is not None
        )
        OrderEvent.objects.bulk_create(events, batch_size=500)
        queued.update(status=OutgoingMail.Status.SENT, sent_at=F("created_at"))


def _address(person: Person) -> orders.Address:
    """Return a fictional customer's address as the checkout passes it."""
    return orders.Address(
        email=person.email,
        family_name=person.family_name,
        given_name=person.given_name,
        family_name_kana=person.family_name_kana,
        given_name_kana=person.given_name_kana,
        postal_code=f"{person.postal_code[:3]}-{person.postal_code[3:]}",
        prefecture=person.prefecture,
        city=person.city,
        street=person.street,
        building=person.building,
        phone=person.phone,
    )
