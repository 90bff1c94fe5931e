"""The ceiling of refunds: what goes back of one order beyond it needs a right of its own."""

from django.conf import settings
from django.db.models import Sum
from django.http import HttpRequest
from django.utils.translation import gettext as _

from kikaku.admin.reauthentication import require_proof
from kikaku.money import yen
from ledger.models import Order
from ledger.sales.refund_plan import RefundRefused

REFUND_ABOVE_CEILING = "ledger.refund_above_ceiling"


def is_above_ceiling(order: Order, amount: int) -> bool:
    """Return whether a refund of `amount` JPY brings an order's refunds above the ceiling.

    All refunds of the order count, so that a large one cannot be made in parts.
    """
    sent = order.refunds.not_failed().aggregate(sum=Sum("amount"))["sum"] or 0
    return amount > 0 and sent + amount > settings.REFUND_CEILING


def check_ceiling(request: HttpRequest, order: Order, amount: int) -> None:
    """Raise `RefundRefused` for a refund above the ceiling by a user without the right to it.

    Raises `ProofRequired` when he has the right, and has not proved who he is a short while ago.
    """
    if not is_above_ceiling(order, amount):
        return
    if not request.user.has_perm(REFUND_ABOVE_CEILING):
        text = _("Refunds of an order above %(ceiling)s are for the owner. Ask for it.")
        raise RefundRefused(text % {"ceiling": yen(settings.REFUND_CEILING)})
    require_proof(request)


def money_of_cancellation(order: Order, fee: int) -> int:
    """Return the JPY that cancelling an order sends back at most."""
    paid = order.payments.aggregate(sum=Sum("amount"))["sum"] or 0
    sent = order.refunds.not_failed().aggregate(sum=Sum("amount"))["sum"] or 0
    return max(0, paid - sent - fee)
