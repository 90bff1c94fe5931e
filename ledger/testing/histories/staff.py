"""Acts of staff: they ship, refund, keep money, change the stock and the tax settings."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from kikaku.days import business_day
from kikaku.money import REDUCED
from ledger.books.tax_status import enter_rate, enter_status, withdraw_rate
from ledger.models import Order, OrderLine, Shipment, StockItem, TaxRate, TaxStatus
from ledger.models.orders import OrderStatus
from ledger.sales import kept_money, refund_requests, refunds, shipping, stock
from ledger.sales.refunds import RefundRequest, Side
from ledger.sales.seen import OrderChanged
from ledger.testing import company
from ledger.testing.histories.actions import Action, choose_order
from ledger.testing.histories.world import World


@dataclass(frozen=True)
class Ship:
    """Staff ship all unshipped pieces, or these quantities of the lines, sold or as a gift.

    Lines of ¥0 have a reason. The parcel left today, or some days ago (a negative number: in the future,
    which is refused).
    """

    pieces: tuple[int, ...] = ()
    order: int = 0
    clicks: int = 1
    gift: bool = False
    days_ago: int = 0

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
                shipped_on=business_day(world.now) - timedelta(days=self.days_ago),
                gift=Shipment.Gift.COURTESY if self.gift else "",
                gifts={line.pk: Shipment.Gift.PROMOTION for line in order.lines.filter(total=0)},
            )


@dataclass(frozen=True)
class Refund:
    """Staff refund everything left, thousandths of the total, or pieces of the lines.

    Pieces are cancelled and taken back as many as there are; without any they are asked for, and refused.
    """

    thousandths: int = 0
    side: Side | None = None  # of the thousandths
    cancel: tuple[int, ...] = ()
    returns: tuple[int, ...] = ()
    shipping: bool = False
    restock: bool = False
    order: int = 0
    clicks: int = 1

    def __call__(self, world: World) -> None:
        order = choose_order(self.order, *OrderStatus.values)
        if order is None:
            return
        request = self.request(order)
        nonce = world.new_nonce("refund")
        for _click in range(self.clicks):
            refunds.request_refund(order=order, request=request, nonce=nonce, actor="test", now=world.now)

    def request(self, order: Order) -> RefundRequest:
        """Return what is asked for of an order."""
        lines = list(order.lines.order_by("position"))
        return RefundRequest(
            amount=max(1, order.total * self.thousandths // 1000) if self.thousandths else None,
            side=self.side,
            cancel=_pieces(lines, self.cancel, [line.shippable for line in lines]),
            returns=_pieces(lines, self.returns, [line.returnable for line in lines]),
            include_shipping=self.shipping,
            restock=self.restock,
        )


def _pieces(lines: Sequence[OrderLine], asked: Sequence[int], left: Sequence[int]) -> dict[int, int]:
    """Return order line id → pieces: of those asked for as many as are left, or all if none is left."""
    possible = [min(pair) for pair in zip(asked, left, strict=False)]
    pieces = possible if any(possible) else asked
    return {line.pk: count for line, count in zip(lines, pieces, strict=False)}


@dataclass(frozen=True)
class KeepMoney:
    """Staff move thousandths of an order's money, or all that may be kept of it, to other income."""

    thousandths: int = 0
    order: int = 0
    clicks: int = 1

    def __call__(self, world: World) -> None:
        order = choose_order(self.order, *OrderStatus.values)
        if order is None:
            return
        amount = order.total * self.thousandths // 1000 or kept_money.keepable_money(order)
        nonce = world.new_nonce("keep")
        for _click in range(self.clicks):
            kept_money.keep(
                order=order, amount=amount, reason="test", nonce=nonce, actor="test", now=world.now
            )


@dataclass(frozen=True)
class RefundOnOldPage:
    """Staff confirm a refund that a page showed before an action: it is the one that was shown, or none."""

    action: Action
    refund: Refund = Refund()

    def __call__(self, world: World) -> None:
        order = choose_order(self.refund.order, *OrderStatus.values)
        if order is None:
            return
        request = self.refund.request(order)
        try:
            shown = refund_requests.preview(order=order, request=request)
        except refunds.RefundRefused:
            return
        self.action(world)
        returned = _returned_pieces(order)
        with suppress(refunds.RefundRefused, OrderChanged):
            made = refunds.request_refund(
                order=order,
                request=request,
                nonce=world.new_nonce("refund"),
                actor="test",
                now=world.now,
                confirmed=shown.plan,
            )
            assert made.amount == shown.amount, f"{made.amount} refunded, {shown.amount} shown"
            assert _returned_pieces(order) - returned == sum(pieces for _title, pieces in shown.returned)


def _returned_pieces(order: Order) -> int:
    return sum(order.lines.values_list("returned", flat=True))


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
            stock.adjust(
                item, delta=self.delta, source=source, actor="test", reason="count", note="", now=world.now
            )


@dataclass(frozen=True)
class ChangeStatus:
    """The owner enters another tax status from tomorrow on."""

    exempt: bool = False
    rounding: str = "down"
    fiscal_year_end: int = 3

    def __call__(self, world: World) -> None:
        status = TaxStatus(
            **{
                **company.REGISTERED,
                **(company.EXEMPT if self.exempt else {}),
                "from_day": business_day(world.now) + timedelta(days=1),
                "rounding": self.rounding,
                "fiscal_year_end": self.fiscal_year_end,
            }
        )
        enter_status(status, actor="test", now=world.now)


@dataclass(frozen=True)
class ChangeRate:
    """The owner enters another rate from tomorrow on, in place of the one that was to begin then."""

    percent: int
    tax_class: str = REDUCED

    def __call__(self, world: World) -> None:
        tomorrow = business_day(world.now) + timedelta(days=1)
        for rate in TaxRate.objects.filter(tax_class=self.tax_class, from_day=tomorrow):
            withdraw_rate(rate, now=world.now)
        enter_rate(TaxRate(tax_class=self.tax_class, from_day=tomorrow, percent=self.percent), now=world.now)
