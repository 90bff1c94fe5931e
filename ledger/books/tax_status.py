"""Enter the merchant's tax status and the rates of the tax.

Entries follow the status and the rates of their day, so neither changes for a day that has any.
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any

from django.core import checks
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from kikaku.days import business_day
from kikaku.money import TAX_CLASSES
from kikaku.transactions import require_transaction, unit_of_work
from ledger.books.tax import SHIPPING_CLASS
from ledger.books.tax_rules import TaxStatusMissing, load_tax_rules
from ledger.models import JournalEntry, Order, OrderLine, TaxRate, TaxStatus
from ledger.models.orders import SHIPPABLE_STATUSES, OrderStatus

SETTINGS = (
    "from_day",
    "entity",
    "fiscal_year_end",
    "liability",
    "registration_number",
    "registered_on",
    "accounting",
    "filing",
    "business_type",
    "rounding",
)
FIRST_DAY = date(2019, 10, 1)  # of the rates
MAX_AHEAD = timedelta(days=3 * 366)  # a later day is a typing error


def check_status(status: TaxStatus, *, now: datetime) -> None:
    """Raise ValidationError for a status that contradicts itself, the law, or entries that are posted.

    What entries do not depend on, such as the registration number, may be corrected for days with entries.
    """
    status.full_clean(exclude=["created_at"])
    _check_day(status.from_day, now=now)
    rules = load_tax_rules()
    if not rules.statuses:  # entries that are older than the first status have form 1
        if status.from_day > business_day(now):
            raise ValidationError({"from_day": _("The first settings hold from today or an earlier day.")})
        return
    last = rules.statuses[-1]
    if last.from_day > status.from_day:
        text = _("A status with a later day, %(day)s, is entered already. Enter this one from then on.")
        raise ValidationError({"from_day": text % {"day": last.from_day}})
    in_force = rules.status_on(status.from_day)
    if in_force.posting_rules != status.posting_rules:
        # a status of the first day also holds for every day before it
        is_of_first = status.from_day <= rules.statuses[0].from_day
        _require_unused(date.min if is_of_first else status.from_day)
    closed = rules.last_closed
    if in_force.business_type != status.business_type and closed is not None and status.from_day <= closed:
        text = _("The journals of closed days, up to %(day)s, name the type of business. Enter a later day.")
        raise ValidationError({"from_day": text % {"day": closed}})


def _check_day(day: date, *, now: datetime) -> None:
    """Refuse a day that is mistyped, as the error of `from_day`."""
    if not FIRST_DAY <= day <= business_day(now) + MAX_AHEAD:
        text = _("Enter a day from %(first)s on, at most three years ahead.") % {"first": FIRST_DAY}
        raise ValidationError({"from_day": text})


def _require_unused(from_day: date) -> None:
    """Refuse a first day when entries depend on it or on a later one, as the error of `from_day`."""
    posted = JournalEntry.objects.filter(day__gte=from_day, form__isnull=False).order_by("-day").first()
    if posted is not None:
        text = _("Entries are posted up to %(day)s. Enter a later day, such as %(next)s.")
        values = {"day": posted.day, "next": posted.day + timedelta(days=1)}
        raise ValidationError({"from_day": text % values})


def _wait_for_postings(model: type[TaxStatus] | type[TaxRate]) -> None:
    """Wait until no transaction is open that has read a table, and let none read it before ours ends.

    A posting that has read the rules must not write its entry after we looked for entries. PostgreSQL only:
    the other engines are serializable.
    """
    require_transaction()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {model._meta.db_table} IN ACCESS EXCLUSIVE MODE")


@unit_of_work
def enter_status(status: TaxStatus, *, actor: str, now: datetime) -> TaxStatus:
    """Store a new status and return it; a form that is sent twice returns the first.

    Raises ValidationError; then nothing changed.
    """
    _wait_for_postings(TaxStatus)
    status.pk = None  # D1 repeats the unit with the object that it has given a key
    status.created_at = now
    status.actor = actor
    check_status(status, now=now)
    last = TaxStatus.objects.first()
    if last is not None and all(getattr(last, name) == getattr(status, name) for name in SETTINGS):
        return last
    status.save(force_insert=True)
    return status


@unit_of_work
def enter_rate(rate: TaxRate, *, now: datetime) -> TaxRate:
    """Store a rate that begins after today and return it; a form that is sent twice returns the first.

    Raises ValidationError; then nothing changed.
    """
    _wait_for_postings(TaxRate)
    rate.pk = None
    same = TaxRate.objects.filter(tax_class=rate.tax_class, from_day=rate.from_day, percent=rate.percent)
    if (entered := same.first()) is not None:
        return entered
    rate.full_clean()
    _check_day(rate.from_day, now=now)
    if rate.from_day <= business_day(now):
        raise ValidationError(
            {"from_day": _("Enter a day after today: goods are delivered at today’s rate.")}
        )
    _require_unused(rate.from_day)
    rate.save(force_insert=True)
    return rate


@unit_of_work
def withdraw_rate(rate: TaxRate, *, now: datetime) -> bool:
    """Delete a rate that has not begun; return whether it did."""
    _wait_for_postings(TaxRate)
    deleted, _of_each = TaxRate.objects.filter(pk=rate.pk, from_day__gt=business_day(now)).delete()
    return bool(deleted)


def orders_at_other_rates(*, now: datetime) -> QuerySet[Order]:
    """Return the open orders whose rest is sold at another rate than the customer was shown.

    Law asks the rate of the day of delivery. The rates are those after every change that is entered. Raises
    `TaxStatusMissing`.
    """
    rules = load_tax_rules()
    known = [status.from_day for status in rules.statuses] + [day for _class, day, _percent in rules.rates]
    last = max([*known, business_day(now)])
    changed = Q()
    for tax_class in TAX_CLASSES:
        field = f"rate_{tax_class}"
        percent = rules.charged_rate(tax_class, last)
        is_same = Q(**{f"{field}__isnull": True}) if percent is None else Q(**{field: percent})
        unshipped = OrderLine.objects.unshipped().filter(tax_class=tax_class)
        is_open = Q(pk__in=unshipped.values("order"))
        if tax_class == SHIPPING_CLASS:  # the fee is sold with the first parcel
            is_open |= Q(shipping_fee__gt=0) & ~Q(status=OrderStatus.PARTIALLY_SHIPPED)
        changed |= ~is_same & is_open
    open_orders = Order.objects.filter(status__in=(OrderStatus.PENDING, *SHIPPABLE_STATUSES))
    return open_orders.filter(changed).order_by("placed_at", "pk")


def check_entered(databases: Iterable[str] | None = None, **_options: Any) -> list[checks.CheckMessage]:
    """Return a warning unless a tax status is entered: for `check --database default`, and `migrate`."""
    table = TaxStatus._meta.db_table
    if "default" not in (databases or ()) or table not in connection.introspection.table_names():
        return []
    return [] if TaxStatus.objects.exists() else [checks.Warning(str(TaxStatusMissing()), id="ledger.W001")]
