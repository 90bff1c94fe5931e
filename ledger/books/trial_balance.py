"""What the accounts stand at at the end of a day: carried forward from the last closed day, so that history costs nothing.

A closed day gains no entry (database triggers), so its closing balances stay true; `verify_books` adds up everything.
"""

from dataclasses import dataclass
from datetime import date

from django.db.models import Count, F, Max, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from ledger.books import accounts
from ledger.models import ClosingBalance, JournalEntry, JournalLine

BY_ORDER = (accounts.PREPAYMENTS, accounts.REFUNDS_PAYABLE)  # owed to the customers, order by order


@dataclass(frozen=True)
class Standing:
    """An account at the end of a day; JPY since the books began."""

    debit: int = 0
    credit: int = 0
    # of the accounts in BY_ORDER:
    open_orders: int = 0  # how many orders have something left in it
    without_order: int = 0  # owed (credit − debit) by entries of no order

    @property
    def balance(self) -> int:
        """Debit − credit."""
        return self.debit - self.credit


BEGINNING = date.min  # of the books: nothing is carried from there


def carried_until(until: date | None) -> date:
    """Give the latest closed day with balances, not after `until`; what lies before it changes no more."""
    closed = (
        ClosingBalance.objects.all() if until is None else ClosingBalance.objects.filter(close__lte=until)
    )
    day: date | None = closed.aggregate(day=Max("close_id"))["day"]
    return day or BEGINNING


def lines_after(since: date, until: date | None) -> QuerySet[JournalLine]:
    """Select the lines of the days after `since`, up to and including `until`."""
    lines = JournalLine.objects.filter(entry__day__gt=since)
    return lines if until is None else lines.filter(entry__day__lte=until)


def balance(account: str, *, until: date | None) -> int:
    """Give debit − credit of an account in JPY at the end of the day `until`, or as it is now."""
    since = carried_until(until)
    carried = ClosingBalance.objects.filter(close=since, account=account).aggregate(
        sum=Sum(F("debit") - F("credit"))
    )
    moved = lines_after(since, until).filter(account_id=account).aggregate(sum=Sum(F("debit") - F("credit")))
    return int(carried["sum"] or 0) + int(moved["sum"] or 0)


def at(day: date) -> dict[str, Standing]:
    """Give every account that ever moved, at the end of `day`."""
    return _carry(carried_until(day), day)


def recomputed(day: date) -> dict[str, Standing]:
    """Give the same from every line since the books began, believing nothing that was carried."""
    return _carry(BEGINNING, day)


def _carry(since: date, day: date) -> dict[str, Standing]:
    """Take the closing balances of the day `since` and add what the days after it moved, up to and including `day`."""
    found = {
        row.account_id: Standing(row.debit, row.credit, row.open_orders, row.without_order)
        for row in ClosingBalance.objects.filter(close=since)
    }
    for code, debit, credit in (
        lines_after(since, day)
        .values_list("account_id")
        .annotate(debits=Sum("debit"), credits=Sum("credit"))
        .order_by()
        .values_list("account_id", "debits", "credits")
    ):
        before = found.get(code, Standing())
        opened, loose = _by_order(code, since, day) if code in BY_ORDER else (0, 0)
        found[code] = Standing(
            debit=before.debit + debit,
            credit=before.credit + credit,
            open_orders=before.open_orders + opened,
            without_order=before.without_order + loose,
        )
    return found


def _by_order(code: str, since: date, day: date) -> tuple[int, int]:
    """Tell by how much the number of open orders grew after `since`, and what was owed without an order (JPY)."""
    owed = Sum(F("credit") - F("debit"))
    loose = lines_after(since, day).filter(account_id=code, entry__order=None).aggregate(owed=owed)["owed"]
    touched = JournalEntry.objects.filter(day__gt=since, day__lte=day, order__isnull=False).values("order")
    opened = (
        JournalLine.objects.filter(account_id=code, entry__day__lte=day, entry__order__in=touched)
        .order_by()
        .values("entry__order")
        .annotate(
            owed_before=Coalesce(Sum(F("credit") - F("debit"), filter=Q(entry__day__lte=since)), 0),
            owed_after=owed,
        )
        .aggregate(
            before=Count("entry__order", filter=~Q(owed_before=0)),
            after=Count("entry__order", filter=~Q(owed_after=0)),
        )
    )
    return opened["after"] - opened["before"], loose or 0
