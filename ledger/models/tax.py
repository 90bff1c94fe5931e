"""The merchant's tax status and the rates of consumption tax, each from a day on."""

from datetime import MINYEAR, date, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from kikaku.money import REDUCED, STANDARD

# 2割特例 ends with the period that contains this day; 3割特例 is for sole traders, for 2027 and 2028. As the
# 令和8年度税制改正大綱 says; not compared with the law as it was passed.
LAST_DAY_OF_TWO_TENTHS = date(2026, 9, 30)
YEARS_OF_THREE_TENTHS = (2027, 2028)

FICTIONAL_NUMBER = "T9999999999999"  # of the demo: its check digit is right, no merchant has it


class TaxClass(models.TextChoices):
    """Class of goods by consumption tax. Its rate depends on the day of delivery: see `TaxRate`."""

    STANDARD = STANDARD, _("standard rate")
    REDUCED = REDUCED, _("reduced rate (food and drink)")


class TaxRounding(models.TextChoices):
    """How a fraction of a yen of tax is rounded, once per rate of an order."""

    DOWN = "down", _("round down")
    NEAREST = "nearest", _("round half up")
    UP = "up", _("round up")


class TaxRate(models.Model):
    """The rate of a class of goods that are delivered from a day on. Law asks the rate of that day."""

    tax_class = models.CharField(_("tax class"), max_length=10, choices=TaxClass.choices)
    from_day = models.DateField(_("delivered from"))
    percent = models.PositiveSmallIntegerField(
        _("percent"), validators=[MaxValueValidator(99)], help_text=_("0 is taxed at 0 %, not exempt.")
    )

    class Meta:
        verbose_name = _("tax rate")
        verbose_name_plural = _("tax rates")
        ordering = ["tax_class", "from_day"]
        constraints = [models.UniqueConstraint(fields=["tax_class", "from_day"], name="tax_rate_once")]

    def __str__(self) -> str:
        return f"{self.get_tax_class_display()} {self.percent}% {self.from_day}"


class TaxStatus(models.Model):
    """What the merchant is for the tax office from a day on; append-only (database triggers).

    The row with the latest day up to a day holds on it, of two with the same day the one written later. The
    first also holds for the days before it. Without a row nothing is posted.
    """

    class Liability(models.TextChoices):
        REGISTERED = "registered", _("taxable, registered as invoice issuer")
        UNREGISTERED = "unregistered", _("taxable, not registered")
        EXEMPT = "exempt", _("exempt")

    class Accounting(models.TextChoices):
        NET = "net", _("net of tax")
        GROSS = "gross", _("tax included")

    class Filing(models.TextChoices):
        GENERAL = "general", _("general rule")
        SIMPLIFIED = "simplified", _("simplified taxation")
        TWO_TENTHS = "two_tenths", _("two tenths (transition)")
        THREE_TENTHS = "three_tenths", _("three tenths (transition)")

    class Entity(models.TextChoices):
        CORPORATION = "corporation", _("corporation")
        SOLE_TRADER = "sole_trader", _("sole trader")

    from_day = models.DateField(_("valid from"))
    entity = models.CharField(_("legal form"), max_length=12, choices=Entity.choices)
    fiscal_year_end = models.PositiveSmallIntegerField(
        _("last month of the fiscal year"),
        validators=[MinValueValidator(1), MaxValueValidator(12)],
        help_text=_("Sales and expenses begin at zero after it. A sole trader's year ends in December."),
    )
    liability = models.CharField(_("consumption tax"), max_length=12, choices=Liability.choices)
    registration_number = models.CharField(
        _("registration number"),
        max_length=14,
        blank=True,
        validators=[RegexValidator(r"\AT\d{13}\Z", _("T and thirteen digits, such as T7000012050002."))],
        help_text=_("T and thirteen digits. It is printed on invoices."),
    )
    registered_on = models.DateField(_("registered on"), null=True, blank=True)
    accounting = models.CharField(_("accounting of tax"), max_length=5, choices=Accounting.choices)
    filing = models.CharField(_("tax return"), max_length=12, choices=Filing.choices)
    # 第1種 to 第6種, with simplified taxation
    business_type = models.PositiveSmallIntegerField(
        _("type of business"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(6)],
        help_text=_("With simplified taxation: 2 for retail, 1 for sales to businesses."),
    )
    rounding = models.CharField(_("fractions of a yen"), max_length=7, choices=TaxRounding.choices)
    created_at = models.DateTimeField(_("written at"))
    actor = models.CharField(_("by"), max_length=150, blank=True)

    class Meta:
        verbose_name = _("tax status")
        verbose_name_plural = _("tax status")
        ordering = ["-from_day", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(fiscal_year_end__range=(1, 12)), name="tax_status_month_of_the_year"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.from_day} {self.get_liability_display()}"

    @property
    def is_exempt(self) -> bool:
        """Return whether no consumption tax is posted."""
        return self.liability == self.Liability.EXEMPT

    @property
    def posting_rules(self) -> tuple[bool, str, int]:
        """Return what entries depend on: exempt or not, the rounding, the last month of the fiscal year."""
        return self.is_exempt, self.rounding, self.fiscal_year_end

    def clean(self) -> None:
        """Refuse a combination that the law does not know; the messages say what to enter."""
        errors: dict[str, Any] = {}
        registered = self.liability == self.Liability.REGISTERED
        if registered and not self.registration_number:
            errors["registration_number"] = _("Enter the registration number of the invoice issuer.")
        elif not registered and self.registration_number:
            errors["registration_number"] = _("Leave it empty: only a registered issuer has a number.")
        elif self._has_wrong_check_digit():
            errors["registration_number"] = _("The check digit does not fit: is a digit mistyped?")
        if registered and self.registered_on is None:
            errors["registered_on"] = _("Enter the day of the registration.")
        elif not registered and self.registered_on is not None:
            errors["registered_on"] = _("Leave it empty: only a registered issuer has a number.")
        elif self.registered_on and self.from_day and self.registered_on > self.from_day:
            errors["registered_on"] = _("The registration begins after the day from which this is valid.")
        if self.is_exempt and self.accounting != self.Accounting.GROSS:
            errors["accounting"] = _("An exempt business keeps its books with tax included.")
        if self.entity == self.Entity.SOLE_TRADER and self.fiscal_year_end != 12:
            errors["fiscal_year_end"] = _("A sole trader's year ends in December.")
        if (self.filing == self.Filing.SIMPLIFIED) != (self.business_type is not None):
            errors["business_type"] = _("Enter a type with simplified taxation, and leave it empty else.")
        if self.from_day and self.fiscal_year_end and (problem := self._filing_problem()):
            errors["filing"] = problem
        if errors:
            raise ValidationError(errors)

    def _has_wrong_check_digit(self) -> bool:
        """Return whether a corporate number is mistyped: 9 − (Σ digit × 1 or 2, from the right, mod 9).

        財務省令 on 法人番号. The digits of a sole trader's number are not a corporate number.
        """
        digits = self.registration_number.removeprefix("T")
        if self.entity != self.Entity.CORPORATION or len(digits) != 13 or not digits.isdigit():
            return False
        weighed = sum(int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits[1:])))
        return int(digits[0]) != 9 - weighed % 9

    def _filing_problem(self) -> Any:
        if self.is_exempt and self.filing == self.Filing.SIMPLIFIED:
            return _("An exempt business files no tax return: choose the general rule.")
        if self.filing not in (self.Filing.TWO_TENTHS, self.Filing.THREE_TENTHS):
            return None
        if self.liability != self.Liability.REGISTERED:
            return _("Two and three tenths are for those who are taxable because they registered.")
        if self.filing == self.Filing.TWO_TENTHS:
            if self._first_day_of_year(self.from_day) > LAST_DAY_OF_TWO_TENTHS:
                return _("Two tenths ended with the period that contains 30 September 2026.")
        elif self.entity != self.Entity.SOLE_TRADER or self.from_day.year not in YEARS_OF_THREE_TENTHS:
            return _("Three tenths is for sole traders, in 2027 and 2028.")
        return None

    @property
    def filing_ends_on(self) -> date | None:
        """Return the last day for which law allows the tax return of this status; None: it has no end."""
        if self.filing == self.Filing.TWO_TENTHS:
            first = self._first_day_of_year(LAST_DAY_OF_TWO_TENTHS)
            return first.replace(year=first.year + 1) - timedelta(days=1)
        if self.filing == self.Filing.THREE_TENTHS:
            return date(YEARS_OF_THREE_TENTHS[-1], 12, 31)
        return None

    def _first_day_of_year(self, day: date) -> date:
        """Return the first day of the fiscal year that contains a day, by the last month of this status."""
        month = self.fiscal_year_end % 12 + 1
        year = day.year if day.month >= month else max(day.year - 1, MINYEAR)
        return date(year, month, 1)
