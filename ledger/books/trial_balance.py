"""Account balances at the end of a day, carried forward from the last closed day.

A closed day gains no entry (database triggers), so its closing balances stay valid. `verify_books` recomputes
everything.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce
from operator import or_

from django.db.models import Count, F, Max, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from ledger.books.accounts import CUSTOMER_LIABILITY_ACCOUNTS
from ledger.models import ClosingBalance, JournalEntry, JournalLine, Order

BEGINNING_OF_BOOKS = date.min  # no balance is carried from this day

NET_DEBIT = Sum(F("debit") - F("credit"))
NET_CREDIT = Sum(F("credit") - F("debit"))


@dataclass(frozen=True)
class Sides:
    """The sums of both sides of an account, in JPY."""

    debit: int = 0
    credit: int = 0

    @property
    def net(self) -> int:
        """Debit − credit."""
        return self.debit - self.credit

    def plus(self, other: "Sides") -> "Sides":
        """Return the sums of both."""
        return Sides(self.debit + other.debit, self.credit + other.credit)

    def less(self, other: "Sides") -> "Sides":
        """Return what these sums have more than the other ones."""
        return Sides(self.debit - other.debit, self.credit - other.credit)


NOTHING = Sides()


@dataclass(frozen=True)
class AccountBalance(Sides):
    """The balance of an account at the end of a day, in JPY since the books began."""

    # of the accounts in CUSTOMER_LIABILITY_ACCOUNTS:
    open_orders: int = 0  # orders with a balance other than zero
    without_order: int = 0  # credit − debit of the entries that belong to no order


def account_balances(day: date) -> dict[str, AccountBalance]:
    """Return the balance at the end of `day` of every account that has lines, by account code."""
    closed = ClosingBalance.objects.filter(close__lte=day).order_by("-close")
    last = ClosingBalance.objects.filter(close=Subquery(closed.values("close")[:1]))
    return _carry_forward(list(last), day)


def recompute_account_balances(day: date) -> dict[str, AccountBalance]:
    """Return the same as `account_balances`, computed from every line without the carried balances."""
    return _carry_forward([], day)


def balances_at(days: Iterable[date], account: str | None = None) -> dict[date, dict[str, Sides]]:
    """Return the sums since the books began at the end of each day, by account code; of one account if given.

    Takes two queries, however many days; one when all are closed.
    """
    ordered = sorted(set(days))
    latest = ClosingBalance.objects.order_by("-close").values("close")
    carried_to: Q = reduce(or_, (Q(close=Subquery(latest.filter(close__lte=day)[:1])) for day in ordered))
    carried = ClosingBalance.objects.filter(carried_to)
    if account is not None:
        carried = carried.filter(account=account)
    closed: dict[date, dict[str, Sides]] = {BEGINNING_OF_BOOKS: {}}
    for since, code, debit, credit in carried.values_list("close_id", "account_id", "debit", "credit"):
        closed.setdefault(since, {})[code] = Sides(debit, credit)
    last_closed = {day: max(known for known in closed if known <= day) for day in ordered}
    moved = _movements({day: since for day, since in last_closed.items() if since < day}, account)
    return {day: _add(closed[last_closed[day]], moved.get(day, {})) for day in ordered}


def _movements(spans: Mapping[date, date], account: str | None) -> dict[date, dict[str, Sides]]:
    """Return by its last day what moved after the first day of each span, up to and including its last."""
    if not spans:
        return {}
    within = {last: Q(entry__day__gt=first, entry__day__lte=last) for last, first in spans.items()}
    lines = JournalLine.objects.filter(reduce(or_, within.values()))
    if account is not None:
        lines = lines.filter(account_id=account)
    sums = {
        f"{side}_{place}": Coalesce(Sum(side, filter=condition), 0)
        for place, condition in enumerate(within.values())
        for side in ("debit", "credit")
    }
    moved: dict[date, dict[str, Sides]] = {last: {} for last in within}
    rows = lines.order_by().values_list("account_id").annotate(**sums).values_list("account_id", *sums)
    for code, *found in rows:
        for place, last in enumerate(within):
            moved[last][code] = Sides(*found[2 * place : 2 * place + 2])
    return moved


def _add(first: Mapping[str, Sides], second: Mapping[str, Sides]) -> dict[str, Sides]:
    return {code: first.get(code, NOTHING).plus(second.get(code, NOTHING)) for code in {*first, *second}}


def net_balance(account: str, *, until: date | None = None, order: Order | None = None) -> int:
    """Return debit − credit of an account (JPY), up to the end of the day `until`, of one order if given."""
    if order is not None:
        lines = JournalLine.objects.filter(account_id=account, entry__order=order)
        if until is not None:
            lines = lines.filter(entry__day__lte=until)
        return int(lines.aggregate(sum=NET_DEBIT)["sum"] or 0)
    # a close carries every account that ever had a line
    closed = ClosingBalance.objects.filter(account=account)
    if until is not None:
        closed = closed.filter(close__lte=until)
    last = closed.order_by("-close").first()
    since = BEGINNING_OF_BOOKS if last is None else last.close_id
    carried = 0 if last is None else last.debit - last.credit
    moved = _lines_between(since, until).filter(account_id=account).aggregate(sum=NET_DEBIT)
    return carried + int(moved["sum"] or 0)


def last_carried_day() -> date:
    """Return the latest closed day with balances, or `BEGINNING_OF_BOOKS`."""
    day: date | None = ClosingBalance.objects.aggregate(day=Max("close_id"))["day"]
    return day or BEGINNING_OF_BOOKS


def _lines_between(since: date, until: date | None) -> QuerySet[JournalLine]:
    """Return the lines of the days after `since`, up to and including `until`."""
    lines = JournalLine.objects.filter(entry__day__gt=since)
    return lines if until is None else lines.filter(entry__day__lte=until)


def _carry_forward(carried: Sequence[ClosingBalance], day: date) -> dict[str, AccountBalance]:
    """Return the closing balances of a day plus the movements of the days after it, up to `day`."""
    since = carried[0].close_id if carried else BEGINNING_OF_BOOKS
    balances = {
        row.account_id: AccountBalance(row.debit, row.credit, row.open_orders, row.without_order)
        for row in carried
    }
    owed = Sum(F("credit") - F("debit"), filter=Q(entry__order=None))
    for code, debit, credit, owed_without_order in (
        _lines_between(since, day)
        .values_list("account_id")
        .annotate(debits=Sum("debit"), credits=Sum("credit"), owed=owed)
        .order_by()
        .values_list("account_id", "debits", "credits", "owed")
    ):
        before = balances.get(code, AccountBalance())
        is_liability = code in CUSTOMER_LIABILITY_ACCOUNTS
        opened = _newly_open_orders(code, since, day) if is_liability else 0
        without_order = (owed_without_order or 0) if is_liability else 0
        balances[code] = AccountBalance(
            debit=before.debit + debit,
            credit=before.credit + credit,
            open_orders=before.open_orders + opened,
            without_order=before.without_order + without_order,
        )
    return balances


def _newly_open_orders(code: str, since: date, day: date) -> int:
    """Return the change after `since` of the number of open orders."""
    touched = JournalEntry.objects.filter(day__gt=since, day__lte=day, order__isnull=False).values("order")
    opened = (
        JournalLine.objects.filter(account_id=code, entry__day__lte=day, entry__order__in=touched)
        .order_by()
        .values("entry__order")
        .annotate(
            owed_before=Coalesce(Sum(F("credit") - F("debit"), filter=Q(entry__day__lte=since)), 0),
            owed_after=NET_CREDIT,
        )
        .aggregate(
            before=Count("entry__order", filter=~Q(owed_before=0)),
            after=Count("entry__order", filter=~Q(owed_after=0)),
        )
    )
    return int(opened["after"] - opened["before"])
