"""Acts of customers: they order, pay, cancel, and answer for a refund."""

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from kikaku.sandbox import MethodNotOffered, NothingToAuthenticate, NoVoucher, SessionNotOpen
from ledger.models import Order
from ledger.models.orders import OrderStatus
from ledger.sales import cancellation, checkout, confirmation, orders
from ledger.sales.orders import NewOrderLine
from ledger.testing.build import ADDRESS
from ledger.testing.histories import checks
from ledger.testing.histories.actions import choose, choose_order, take
from ledger.testing.histories.at_stripe import call_as_dashboard
from ledger.testing.histories.world import SKUS, TAX_CLASSES, World


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
                        tax_class=TAX_CLASSES[item],
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
    if session not in world.opened:
        world.opened.add(session)
        checks.assert_voucher_cap(world, session)
    if session not in world.pages:
        world.pages.append(session)


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
        session = take(world.challenged, self.page)
        if session is None:
            return
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
        session = take(world.vouchers, self.voucher)
        if session is not None:
            with suppress(NoVoucher):
                world.sandbox.pay_voucher(session)


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
    """A customer or the shop cancels an order, whatever its state; the shop may keep thousandths as a fee.

    Of one that was shipped in part: what is not shipped.
    """

    order: int = 0
    by_customer: bool = True
    fee: int = 0

    def __call__(self, world: World) -> None:
        order = choose_order(self.order, *OrderStatus.values)
        if order is not None:
            cancellation.cancel(
                order=order,
                reason=Order.CancelReason.CUSTOMER if self.by_customer else Order.CancelReason.STAFF,
                actor="test",
                now=world.now,
                fee=0 if self.by_customer else order.total * self.fee // 1000,
            )
