"""Open balances of orders in 2130 and 2120, and since when: money that waits too long is a person's task.

An order's balance is open since the first entry after it was zero at the end of a day.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ledger.books.accounts import CUSTOMER_LIABILITY_ACCOUNTS, PREPAYMENTS, REFUNDS_PAYABLE
from ledger.books.trial_balance import NET_CREDIT
from ledger.models import JournalLine, Order, Payment, Refund
from ledger.models.orders import FINISHED_STATUSES, OrderStatus

# days after which an open balance is listed, by account
MAX_AGE = {PREPAYMENTS: 60, REFUNDS_PAYABLE: 45}


@dataclass(frozen=True)
class OpenBalance:
    """What an account still holds of an order."""

    account: str
    order_id: int
    number: str
    customer: str
    since: date  # business day
    days: int  # between it and the day of the list
    amount: int  # JPY, credit − debit
    reason: str | Promise  # why it is open, for staff

    @property
    def is_old(self) -> bool:
        """Return whether it waits longer than it should."""
        return self.days > MAX_AGE[self.account]


def open_balances(today: date) -> list[OpenBalance]:
    """Return the open balances of all orders, by account, the oldest first. One query.

    It reads the orders that may have one: an order that ended with one payment, and whose refunds succeeded,
    has none (`verify_books` proves it).
    """
    refunds = Refund.objects.filter(order=OuterRef("pk"))
    paid_again = Payment.objects.order_by().values("order").annotate(count=Count("pk")).filter(count__gt=1)
    candidates = Order.objects.filter(
        ~Q(status__in=FINISHED_STATUSES)
        | Exists(refunds.exclude(status=Refund.Status.SUCCEEDED))
        | Q(pk__in=paid_again.values("order"))
    )
    of_order = Refund.objects.filter(order=OuterRef("entry__order"))
    lines = (
        JournalLine.objects.filter(
            account__in=CUSTOMER_LIABILITY_ACCOUNTS, entry__day__lte=today, entry__order__in=candidates
        )
        .order_by("account_id", "entry__order_id", "entry__day")
        .values(
            "account_id",
            "entry__order_id",
            "entry__day",
            "entry__order__number",
            "entry__order__family_name",
            "entry__order__given_name",
            "entry__order__status",
        )
        .annotate(
            net=NET_CREDIT,
            waits=Exists(of_order.filter(status=Refund.Status.REQUIRES_ACTION)),
            moves=Exists(of_order.in_progress()),
        )
    )
    found = [
        balance
        for _key, days in groupby(lines, lambda row: (row["account_id"], row["entry__order_id"]))
        for balance in _open_balance(list(days), today)
    ]
    return sorted(
        found, key=lambda balance: (balance.account == REFUNDS_PAYABLE, balance.since, balance.number)
    )


def old_balances(today: date) -> list[OpenBalance]:
    """Return the open balances that wait longer than they should, like `open_balances`."""
    return [balance for balance in open_balances(today) if balance.is_old]


def _open_balance(days: Sequence[Any], today: date) -> Iterator[OpenBalance]:
    """Yield the balance that an order's days leave in an account, unless it is zero."""
    balance, since = 0, days[0]["entry__day"]
    for day in days:
        if balance == 0:
            since = day["entry__day"]
        balance += day["net"]
    last = days[-1]
    if balance:
        yield OpenBalance(
            account=last["account_id"],
            order_id=last["entry__order_id"],
            number=last["entry__order__number"],
            customer=f"{last['entry__order__family_name']} {last['entry__order__given_name']}",
            since=since,
            days=(today - since).days,
            amount=balance,
            reason=_reason(last),
        )


def _reason(row: dict[str, Any]) -> str | Promise:
    if row["waits"]:
        return _("refund waits for the customer's bank account")
    if row["moves"]:
        return _("refund on its way")
    if row["account_id"] == REFUNDS_PAYABLE:
        return _("refund failed: refund again, or keep")
    if row["entry__order__status"] == OrderStatus.PENDING:
        return _("another amount paid than the total")
    if row["entry__order__status"] in FINISHED_STATUSES:
        return _("nothing to ship any more: refund, or keep")
    return _("not shipped")
