"""Builders for tests: an item, an order, a paid order, made by the real domain functions."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.utils import timezone

from kikaku.money import REDUCED, STANDARD
from kikaku.sandbox import Sandbox
from ledger.ingest import balance, inbox
from ledger.ingest.events import PaymentNotYetKnown
from ledger.models import CheckoutAttempt, Order, Refund, Shipment, StockItem
from ledger.sales import cancellation, checkout, orders, shipping, stock
from ledger.sales.orders import Address, NewOrderLine
from ledger.sales.refunds import RefundRequest, Side, request_refund

ADDRESS = Address(
    email="hanako@example.jp",
    family_name="山田",
    given_name="花子",
    family_name_kana="ヤマダ",
    given_name_kana="ハナコ",
    postal_code="150-0001",
    prefecture="東京都",
    city="渋谷区",
    street="神宮前1-2-3",
    building="ライトハイツ 405",
    phone="03-0000-0000",
)


def now_of(sandbox: Sandbox) -> datetime:
    """Return the time of the stand-in's clock, which is the `now` of a test that set it."""
    return datetime.fromtimestamp(sandbox.clock(), UTC)


def item(sku: str = "CL-08", on_hand: int = 10) -> StockItem:
    """Create a stock item with `on_hand` pieces."""
    made = StockItem.objects.create(sku=sku)
    if on_hand:
        stock.receive(made, on_hand, source="opening", actor="test", now=timezone.now())
    made.refresh_from_db()
    return made


def line(
    sku: str = "CL-08",
    *,
    price: int = 11_000,
    quantity: int = 1,
    tax_class: str = STANDARD,
    title: str = "",
    title_ja: str = "",
    on_hand: int = 100,
) -> NewOrderLine:
    """Return a line to order; its stock item is created with `on_hand` pieces unless it exists."""
    found = StockItem.objects.filter(sku=sku).first() or item(sku, on_hand)
    return NewOrderLine(
        item_id=found.pk,
        sku=sku,
        title=title or f"シーリングライト {sku}",
        title_ja=title_ja,
        unit_price=price,
        quantity=quantity,
        tax_class=tax_class,
    )


def order(
    lines: Sequence[NewOrderLine] | None = None,
    *,
    discount: int = 0,
    shipping_fee: int = 500,
    language: str = "ja",
    nonce: str = "",
    now: datetime | None = None,
    **address: Any,
) -> Order:
    """Place an order of one ceiling light (¥11,000 + ¥500), or of `lines`."""
    return orders.place_order(
        nonce=nonce or secrets.token_hex(8),
        language=language,
        lines=[line()] if lines is None else lines,
        address=replace(ADDRESS, **address),
        discount=discount,
        shipping_fee=shipping_fee,
        now=now or timezone.now(),
    )


def worked_order(*, now: datetime | None = None) -> Order:
    """Place an order of ¥12,130: ¥11,000 at 10 %, ¥1,080 at 8 %, coupon ¥500, shipping ¥550."""
    return order(
        [line("CL-08", price=11_000), line("WATER-2L", price=1_080, tax_class=REDUCED, title="保存水 2L")],
        discount=500,
        shipping_fee=550,
        now=now,
    )


def session_of(placed: Order, *, now: datetime | None = None) -> str:
    """Open the payment page of an order and return the id of its session."""
    checkout.start_payment(placed, now=now or timezone.now())
    attempt = placed.attempts.get(status=CheckoutAttempt.Status.OPEN)
    return str(attempt.session_id)


def deliver(
    sandbox: Sandbox, *, now: datetime | None = None, rounds: int = 3, newest_first: bool = False
) -> int:
    """Receive and process the waiting webhooks, with retries; return how many were processed."""
    done = 0
    for _round in range(rounds):
        deliveries = sandbox.pending_deliveries()
        if newest_first:
            deliveries.reverse()
        if not deliveries:
            break
        for delivery in deliveries:
            event = inbox.receive(
                delivery.body, delivery.headers["Stripe-Signature"], now=now or now_of(sandbox)
            )
            try:
                inbox.process(event.pk, now=now or now_of(sandbox))
            except PaymentNotYetKnown:
                sandbox.mark_delivered(delivery.event_id, 500)
            else:
                sandbox.mark_delivered(delivery.event_id, 200)
                done += 1
    return done


def fetch(sandbox: Sandbox, *, now: datetime | None = None) -> balance.FetchResult:
    """Fetch and post Stripe's balance transactions of the last 30 days and the next day."""
    moment = now or now_of(sandbox)
    return balance.fetch(
        created_from=moment - timedelta(days=30), created_until=moment + timedelta(days=1), now=moment
    )


def paid_order(
    sandbox: Sandbox,
    lines: Sequence[NewOrderLine] | None = None,
    *,
    card: str = "4242424242424242",
    placed: Order | None = None,
    now: datetime | None = None,
    **how: Any,
) -> Order:
    """Place an order (unless `placed` is given), pay it at the stand-in, and deliver the events."""
    moment = now or now_of(sandbox)
    placed = placed or order(lines, now=moment, **how)
    sandbox.pay(session_of(placed, now=moment), card=card)
    deliver(sandbox, now=moment)
    placed.refresh_from_db()
    return placed


def ship(
    placed: Order,
    quantities: dict[int, int] | None = None,
    *,
    carrier: str = "ヤマト運輸",
    tracking_number: str = "1234-5678-9012",
    gift: str = "",
    gifts: Mapping[int, str] | None = None,
    shipped_on: date | None = None,
    now: datetime | None = None,
) -> Shipment:
    """Ship an order, or some pieces of it."""
    shipment = shipping.ship(
        order=placed,
        quantities=quantities,
        carrier=carrier,
        tracking_number=tracking_number,
        gift=gift,
        gifts=gifts or {},
        shipped_on=shipped_on,
        nonce=secrets.token_hex(8),
        actor="staff",
        now=now or timezone.now(),
    )
    placed.refresh_from_db()
    return shipment


def refund(
    placed: Order,
    amount: int | None = None,
    *,
    side: Side | None = None,
    cancel: dict[int, int] | None = None,
    returns: dict[int, int] | None = None,
    include_shipping: bool = False,
    restock: bool = False,
    reason: str = "",
    nonce: str = "",
    now: datetime | None = None,
) -> Refund:
    """Refund an amount, cancelled and returned pieces, or, without either, everything that is left."""
    made = request_refund(
        order=placed,
        request=RefundRequest(
            amount=amount,
            side=side,
            cancel=cancel or {},
            returns=returns or {},
            include_shipping=include_shipping,
            restock=restock,
            reason=reason,
        ),
        nonce=nonce or secrets.token_hex(8),
        actor="staff",
        now=now or timezone.now(),
    )
    placed.refresh_from_db()
    return made


def cancel(placed: Order, *, fee: int = 0, now: datetime | None = None) -> Order:
    """Cancel an order, or what is not shipped of it, as staff do."""
    reason = Order.CancelReason.STAFF
    now = now or timezone.now()
    return cancellation.cancel(order=placed, reason=reason, actor="staff", now=now, fee=fee)
