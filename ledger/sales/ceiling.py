"""The ceiling of refunds: what goes back of one order beyond it needs a right of its own."""

from django.db.models import Sum
from django.utils.translation import gettext as _

from kikaku.money import yen
from ledger.models import Order
from ledger.sales.refund_plan import RefundRefused


class AboveCeiling(RefundRefused):
    """The refunds of an order would be above the `ceiling` (JPY)."""

    def __init__(self, ceiling: int) -> None:
        text = _("Refunds of an order above %(ceiling)s are for the owner. Ask for it.")
        super().__init__(text % {"ceiling": yen(ceiling)})


def refunds_of(order: Order) -> int:
    """Return the JPY that have gone back of an order, or are on their way.

    All its refunds count for the ceiling, so that a large one cannot be made in parts.
    """
    return order.refunds.not_failed().aggregate(sum=Sum("amount"))["sum"] or 0


def require_within_ceiling(order: Order, ceiling: int | None) -> None:
    """Raise `AboveCeiling` if the refunds of a locked order are above the ceiling; None is no ceiling."""
    if ceiling is not None and refunds_of(order) > ceiling:
        raise AboveCeiling(ceiling)
