"""The journal: accounts, entries and lines. Append-only, written by `ledger.books.journal` alone."""

from datetime import MAXYEAR, date

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from ledger.models.orders import Order


class Account(models.Model):
    """An account of the chart in `ledger.books.accounts`; staff may add, not delete."""

    class Type(models.TextChoices):
        ASSET = "asset", _("asset")
        LIABILITY = "liability", _("liability")
        EQUITY = "equity", _("equity")
        REVENUE = "revenue", _("revenue")
        EXPENSE = "expense", _("expense")

    code = models.CharField(_("code"), max_length=4, primary_key=True)
    name_ja = models.CharField(_("name (Japanese)"), max_length=60)
    name_en = models.CharField(_("name (English)"), max_length=60)
    type = models.CharField(_("type"), max_length=10, choices=Type.choices)
    tax_class = models.CharField(_("tax class"), max_length=30, blank=True)  # in the accounting exports

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        ordering = ["code"]

    def __str__(self) -> str:
        return f"{self.code} {self.name_ja}"


class LineTaxClass(models.TextChoices):
    """What a journal line is for consumption tax (税区分); `JournalLine.tax_rate` has the rate."""

    SALE_STANDARD = "sale_standard", _("taxable sale")
    SALE_REDUCED = "sale_reduced", _("taxable sale, reduced rate")
    RETURN_STANDARD = "return_standard", _("return of a taxable sale")
    RETURN_REDUCED = "return_reduced", _("return of a taxable sale, reduced rate")
    PURCHASE = "purchase", _("taxable purchase")
    EXEMPT_PURCHASE = "exempt_purchase", _("exempt purchase")
    OUTSIDE = "outside", _("outside the tax")
    TAX = "tax", _("the tax of other lines")


class JournalEntry(models.Model):
    """One balanced fact of a business day."""

    # of new entries; 1: without amount and counterparty, lines without tax class, 1150 on both sides
    FORM = 2

    day = models.DateField(_("business day"))  # JST; the first open day when the fact is late
    occurred_at = models.DateTimeField(_("occurred at"))
    source_type = models.CharField(_("source"), max_length=30)  # balance_transaction, shipment, refund, entry
    source_id = models.CharField(_("source id"), max_length=120)
    purpose = models.CharField(_("purpose"), max_length=30)
    description = models.CharField(_("description"), max_length=200)
    # the sub-ledger of 2130 and 2120
    order = models.ForeignKey(
        Order, models.PROTECT, related_name="entries", null=True, blank=True, verbose_name=_("order")
    )
    reverses = models.OneToOneField(
        "self", models.PROTECT, related_name="reversed_by", null=True, blank=True, verbose_name=_("reverses")
    )
    created_at = models.DateTimeField(_("written at"))
    # these four are null in entries of form 1
    form = models.PositiveSmallIntegerField(_("form"), null=True)
    # what changed hands (取引金額), JPY: of a payment its gross amount, though the fee is a line, too
    amount = models.BigIntegerField(_("amount"), null=True)
    # the customer as the order names them, or Stripe
    counterparty = models.CharField(_("counterparty"), max_length=120, null=True)  # noqa: DJ001  (form 1)
    fiscal_year = models.PositiveSmallIntegerField(_("fiscal year"), null=True)  # see `year_number`

    class Meta:
        verbose_name = _("journal entry")
        verbose_name_plural = _("journal entries")
        ordering = ["-day", "-id"]
        permissions = [("export_books", gettext_noop("save the books, papers and evidence as files"))]
        indexes = [
            models.Index(fields=["day", "order"], name="entry_day_order"),
            models.Index(fields=["day", "id"], name="entry_day_id"),  # portions of a day
            models.Index(fields=["amount"], name="entry_amount"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["source_type", "source_id", "purpose"], name="entry_once_per_source"
            )
        ]

    def __str__(self) -> str:
        return f"{self.voucher} {self.description}"

    @property
    def voucher(self) -> str:
        """The voucher number (伝票番号): the fiscal year, and a number that rises in the order of writing."""
        return voucher_number(self.pk, self.fiscal_year, self.day)


def year_number(first: date, *, is_second: bool) -> int:
    """Return the number of the fiscal year that begins on a day: its calendar year (年度).

    After a short year another one may begin in the same calendar year; its number tells the month, too.
    """
    return first.year * 12 + first.month - 1 if is_second else first.year


def year_name(number: int) -> str:
    """Return how voucher numbers write a fiscal year: 2026, or 202604 for a second one of 2026."""
    year, month = divmod(number, 12)
    return str(number) if number <= MAXYEAR else f"{year}{month + 1:02}"


def read_year_name(text: str) -> int:
    """Return the number of a fiscal year that is written as four digits, or six with its month."""
    return int(text[:4]) * 12 + int(text[4:]) - 1 if len(text) > 4 else int(text)


def voucher_number(key: int, fiscal_year: int | None, day: date) -> str:
    """Return the voucher number of an entry.

    One of form 1 has no fiscal year and keeps the calendar's, by which the evidence names it.
    """
    return f"{year_name(fiscal_year or day.year)}-{key}"


class JournalLine(models.Model):
    """One account's side of an entry: exactly one of debit and credit is positive (JPY)."""

    entry = models.ForeignKey(JournalEntry, models.PROTECT, related_name="lines", verbose_name=_("entry"))
    position = models.PositiveSmallIntegerField(_("position"))
    # no index: two dozen values select nothing, but would lure SQLite away from the index on `entry`
    account = models.ForeignKey(
        Account, models.PROTECT, related_name="lines", db_index=False, verbose_name=_("account")
    )
    debit = models.PositiveBigIntegerField(_("debit"), default=0)
    credit = models.PositiveBigIntegerField(_("credit"), default=0)
    # All three are null in entries of form 1; the rate also where there is no tax.
    tax_class = models.CharField(  # noqa: DJ001  (form 1)
        _("tax class"), max_length=16, choices=LineTaxClass.choices, null=True
    )
    # percent; of a return the rate at which the goods were sold
    tax_rate = models.PositiveSmallIntegerField(_("tax rate"), null=True)
    # The tax on this line, JPY, beside its net amount and on the same side (negative: on the other one);
    # lines of the class `TAX` post it.
    tax = models.BigIntegerField(_("tax"), null=True)

    class Meta:
        verbose_name = _("journal line")
        verbose_name_plural = _("journal lines")
        ordering = ["entry", "position"]
        constraints = [
            models.UniqueConstraint(fields=["entry", "position"], name="journal_line_position_once"),
            models.CheckConstraint(
                condition=Q(debit__gt=0, credit=0) | Q(debit=0, credit__gt=0), name="journal_line_one_side"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account_id} {self.debit or -self.credit}"
