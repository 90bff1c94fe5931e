"""The ceiling of refunds for who is signed in: above it a right of its own, and proof, are needed."""

from django.conf import settings
from django.db.models import Sum
from django.http import HttpRequest

from kikaku.admin.reauthentication import has_proved, require_proof
from ledger.models import Order
from ledger.sales.ceiling import AboveCeiling, refunds_of

REFUND_ABOVE_CEILING = "ledger.refund_above_ceiling"


def check_ceiling(request: HttpRequest, order: Order, amount: int) -> None:
    """Raise `AboveCeiling` for a refund above the ceiling by a user without the right to it.

    Raises `ProofRequired` when he has the right, and has not proved who he is a short while ago.
    """
    if amount <= 0 or refunds_of(order) + amount <= settings.REFUND_CEILING:
        return
    if not request.user.has_perm(REFUND_ABOVE_CEILING):
        raise AboveCeiling(settings.REFUND_CEILING)
    require_proof(request)


def ceiling_for(request: HttpRequest) -> int | None:
    """Return the JPY that an act of this user checks once more under its lock; None for no ceiling.

    Another refund may have come in since `check_ceiling`.
    """
    is_free = request.user.has_perm(REFUND_ABOVE_CEILING) and has_proved(request)
    return None if is_free else settings.REFUND_CEILING


def money_of_cancellation(order: Order, fee: int) -> int:
    """Return the JPY that cancelling an order sends back at most."""
    paid = order.payments.aggregate(sum=Sum("amount"))["sum"] or 0
    return max(0, paid - refunds_of(order) - fee)
