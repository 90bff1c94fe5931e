"""What a refund takes from: decided when it is asked for, over the order's rows, and stored in its lines.

Unshipped pieces are refunded first, out of prepayments; shipped ones out of sales. Nothing is written here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import F, Sum
from django.utils.translation import gettext as _

from ledger.books.order_pots import SHIPPING_LINE, Unbound, pots, unbound
from ledger.books.pots import Pot, take
from ledger.books.tax import SHIPPING_RATE, piecewise, spread
from ledger.models import Order, OrderLine, Refund, RefundLine

UNDER_WAY = (Refund.Status.REQUESTED, Refund.Status.REQUIRES_ACTION, Refund.Status.PENDING)


class RefundRefused(Exception):
    """The refund asks for what is not there; the text says what is. Nothing was changed."""


@dataclass(frozen=True)
class RefundRequest:
    """What staff ask for: an amount, or pieces and the shipping fee, or (neither) everything that remains."""

    amount: int | None  # JPY
    quantities: Mapping[int, int]  # pieces per order line
    include_shipping: bool
    restock: bool  # whether shipped pieces go back to stock
    reason: str


@dataclass(frozen=True)
class PlannedLine:
    """A refund line to be: what it takes, and from where the books take it (JPY)."""

    order_line_id: int | None = None
    tax_rate: int | None = None
    quantity: int = 0  # pieces refunded; 1 for the shipping fee
    unshipped: int = 0  # of these pieces: will never be shipped
    shipped: int = 0  # of these pieces: come back, or are forgiven
    prepaid: int = 0
    recognised: int = 0
    payable: int = 0

    @property
    def amount(self) -> int:
        """What the customer gets for this part."""
        return self.prepaid + self.recognised + self.payable


def refund_plan(order: Order, request: RefundRequest) -> list[PlannedLine]:
    """Decide where a refund takes from, over the order's rows; the caller has locked the order.

    - Pieces (`quantities`, and the shipping fee): bound to their lines, unshipped pieces first. All pieces that are
      left with the shipping fee are everything that remains.
    - An amount: what was paid too much, then what is owed since a refund failed, then the pots by what remains in
      them, in each the prepaid part first.
    - Neither: everything that remains, by its lines.

    Raises `RefundRefused` when nothing is left, a line has fewer pieces left than asked, or the amount exceeds
    what remains.
    """
    quantities = {pk: pieces for pk, pieces in request.quantities.items() if pieces}
    if request.amount is not None and (quantities or request.include_shipping):
        raise RefundRefused(_("Give either an amount or lines, not both."))
    loose = unbound(order)
    state = pots(order) if loose.funded else {}
    lines = list(order.lines.order_by("position"))
    if unknown := quantities.keys() - {line.pk for line in lines}:
        raise RefundRefused(_("Line %(line)d does not belong to this order.") % {"line": min(unknown)})
    left = {line.pk: pieces for line in lines if (pieces := _pieces_left(line))}
    if request.amount is not None:
        plan = _by_amount(request.amount, state, loose)
    elif (request.include_shipping and quantities == left) or not (quantities or request.include_shipping):
        plan = _whole(order, lines, state, loose)
    else:
        plan = [_take_pieces(state, line, quantities[line.pk]) for line in lines if line.pk in quantities]
        if request.include_shipping:
            plan.append(_take_shipping(order, state))
    if sum(line.amount for line in plan) == 0:
        raise RefundRefused(_("Nothing is left to be refunded."))
    return plan


def plan_of_amount(order: Order, amount: int) -> list[PlannedLine]:
    """Decide where an amount takes from that goes back in any case.

    When the order lacks it, it is what was promised to refunds under way, one of which will not succeed: prepayments
    carry that, bound to nothing, until `recognition.settle_overdrawn`. The pots give the rest.
    """
    try:
        return refund_plan(order, everything(amount=amount))
    except RefundRefused:
        loose = unbound(order)
    promised: int = (
        RefundLine.objects.filter(refund__order=order, refund__status__in=UNDER_WAY).aggregate(
            sum=Sum(F("prepaid") + F("recognised") + F("payable"))
        )["sum"]
        or 0
    )
    in_pots = sum(pot.remaining for pot in pots(order).values()) if loose.funded else 0
    rest = amount - max(0, promised - loose.overdrawn)
    bound = max(0, min(rest, loose.excess + loose.owed + in_pots))
    plan = refund_plan(order, everything(amount=bound)) if bound else []
    return [*plan, PlannedLine(prepaid=amount - bound)]


def everything(*, amount: int | None = None, reason: str = "") -> RefundRequest:
    """Ask for an amount, or without one for all that is left: pieces, shipping fee, what is owed."""
    return RefundRequest(amount=amount, quantities={}, include_shipping=False, restock=False, reason=reason)


def _by_amount(amount: int, state: Mapping[int, Pot], loose: Unbound) -> list[PlannedLine]:
    remaining = [pot.remaining for pot in state.values()]
    available = loose.excess + loose.owed + sum(remaining)
    if amount < 1 or amount > available:
        raise RefundRefused(
            _("An amount between ¥1 and ¥%(available)s can be refunded, not ¥%(amount)s.")
            % {"available": f"{available:,}", "amount": f"{amount:,}"}
        )
    excess = min(amount, loose.excess)
    owed = min(amount - excess, loose.owed)
    plan = [PlannedLine(prepaid=excess), PlannedLine(payable=owed)]
    for pot, share in zip(state.values(), spread(amount - excess - owed, remaining), strict=True):
        _pot, before, after = take(pot, prepaid=share, recognised=0)
        plan.append(PlannedLine(tax_rate=pot.rate, prepaid=before, recognised=after))
    return [line for line in plan if line.amount]


def _whole(
    order: Order, lines: Sequence[OrderLine], state: dict[int, Pot], loose: Unbound
) -> list[PlannedLine]:
    plan = [PlannedLine(payable=loose.owed)]
    if loose.funded:
        plan += [_take_pieces(state, line, pieces) for line in lines if (pieces := _pieces_left(line))]
        if order.shipping_fee and not shipping_refunded(order):
            plan.append(_take_shipping(order, state))
    else:
        plan.append(PlannedLine(prepaid=loose.excess))
    for pot in state.values():  # what the lines' values did not take
        plan.append(PlannedLine(tax_rate=pot.rate, prepaid=pot.prepaid_left, recognised=pot.recognised_left))
    return [line for line in plan if line.amount or line.quantity]


def _pieces_left(line: OrderLine) -> int:
    """Count the pieces that were not refunded, shipped or not."""
    return line.quantity - line.cancelled - line.returned


def _take_pieces(state: dict[int, Pot], line: OrderLine, pieces: int) -> PlannedLine:
    """Take pieces of a line: unshipped ones first, worth what no parcel will recognise, then shipped ones.

    Parcels count a line's value from its first piece on, cancelled pieces from its last one back; so what was
    shipped and what was cancelled of a line add up to its total, to the yen.
    """
    left = _pieces_left(line)
    if not 0 < pieces <= left:
        raise RefundRefused(
            _("%(title)s: %(left)d pieces can be refunded at most.") % {"title": line.title, "left": left}
        )
    pot = state.get(line.tax_rate)
    if pot is None:
        raise RefundRefused(_("The payment does not cover the order: refund an amount instead."))
    unshipped = min(pieces, line.shippable)
    shipped = pieces - unshipped
    state[line.tax_rate], before, after = take(
        pot,
        prepaid=piecewise(line.total, line.quantity, line.quantity - line.cancelled - unshipped, unshipped),
        recognised=piecewise(line.total, line.quantity, line.returned, shipped),
    )
    return PlannedLine(
        order_line_id=line.pk,
        tax_rate=line.tax_rate,
        quantity=pieces,
        unshipped=unshipped,
        shipped=shipped,
        prepaid=before,
        recognised=after,
    )


def _take_shipping(order: Order, state: dict[int, Pot]) -> PlannedLine:
    pot = state.get(SHIPPING_RATE)
    if pot is None or not order.shipping_fee or shipping_refunded(order):
        raise RefundRefused(_("There is no shipping fee left to be refunded."))
    recognised = order.shipments.exists()
    state[SHIPPING_RATE], before, after = take(
        pot,
        prepaid=0 if recognised else order.shipping_fee,
        recognised=order.shipping_fee if recognised else 0,
    )
    return PlannedLine(tax_rate=SHIPPING_RATE, quantity=1, prepaid=before, recognised=after)


def shipping_refunded(order: Order) -> bool:
    """Tell whether the shipping fee was refunded, or a refund of it is under way."""
    return RefundLine.objects.filter(SHIPPING_LINE, refund__order=order).exists()
