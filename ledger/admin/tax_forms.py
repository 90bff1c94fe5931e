"""Forms of the tax settings. Each field says what it means, and what it does in this system."""

import unicodedata
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.forms.models import model_to_dict
from django.utils.dates import MONTHS
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from kikaku.days import business_day
from ledger.books.tax_rules import TaxRules
from ledger.books.tax_status import SETTINGS
from ledger.models import TaxStatus
from ledger.models.tax import TaxClass, TaxRounding

if TYPE_CHECKING:
    StatusModelForm = forms.ModelForm[TaxStatus]
else:
    StatusModelForm = forms.ModelForm

CHOICES = {
    "entity": TaxStatus.Entity.choices,
    "liability": TaxStatus.Liability.choices,
    "accounting": TaxStatus.Accounting.choices,
    "filing": TaxStatus.Filing.choices,
    "rounding": TaxRounding.choices,
}
BUSINESS_TYPES = [
    (1, _("type 1: wholesale")),
    (2, _("type 2: retail")),
    (3, _("type 3: manufacturing, construction, farming")),
    (4, _("type 4: others, such as restaurants")),
    (5, _("type 5: services, transport, finance")),
    (6, _("type 6: real estate")),
]


class DayInput(UnfoldAdminTextInputWidget):
    """A date with the browser's own calendar."""

    input_type = "date"


class TaxStatusForm(StatusModelForm):
    """Every setting of a new tax status, filled in with the latest one."""

    registration_number = forms.CharField(
        label=_("registration number"),
        max_length=40,
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text=_(
            "T and thirteen digits, as in the notice of the tax office. It is printed on invoices. A "
            "corporation’s digits are its corporate number, whose check digit is compared. Leave it empty "
            "unless you are registered."
        ),
    )
    fiscal_year_end = forms.TypedChoiceField(
        label=_("last month of the fiscal year"),
        choices=[("", "—"), *MONTHS.items()],
        coerce=int,
        widget=UnfoldAdminSelectWidget,
        help_text=_(
            "The year ends on the last day of this month. On the next day sales and expenses begin at zero; "
            "the former years stay in one line of the trial balance."
        ),
    )
    business_type = forms.TypedChoiceField(
        label=_("type of business"),
        choices=[("", _("none")), *BUSINESS_TYPES],
        coerce=int,
        empty_value=None,
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text=_(
            "With simplified taxation only. A shop that sells to consumers is of type 2, and of type 1 in "
            "what it sells to businesses."
        ),
    )

    class Meta:
        model = TaxStatus
        fields = SETTINGS
        widgets = {
            "from_day": DayInput,
            "entity": UnfoldAdminRadioSelectWidget,
            "liability": UnfoldAdminRadioSelectWidget,
            "registered_on": DayInput,
            "accounting": UnfoldAdminRadioSelectWidget,
            "filing": UnfoldAdminSelectWidget,
            "rounding": UnfoldAdminRadioSelectWidget,
        }
        help_texts = {
            "from_day": _(
                "From this day on entries follow these settings. Days that have entries cannot be changed: "
                "choose a later one. The number alone may be corrected for any day."
            ),
            "entity": _("A sole trader’s year ends in December, and only a sole trader has three tenths."),
            "liability": _(
                "Registered: you issue qualified invoices; the books separate net amounts and tax. Not "
                "registered: the books are the same, but no document bears a number or the word “qualified”. "
                "Exempt: you pay no consumption tax; the books hold amounts with their tax, without tax "
                "received and paid, and neither the shop nor its mails name a tax amount."
            ),
            "registered_on": _("The day on the notice of the tax office."),
            "accounting": _(
                "How your accounting software keeps its books. The journal here separates the tax of a "
                "taxable business in either case; exports are folded for “tax included”. An exempt business "
                "has “tax included” only."
            ),
            "filing": _(
                "How you compute the tax that you pay; ask your tax accountant. Entries stay the same, the "
                "tax classes of exports change. Two tenths ended with the period that contains 30 September "
                "2026; three tenths is for sole traders in 2027 and 2028. While exempt: general rule."
            ),
            "rounding": _(
                "The tax in an order is rounded once per rate. Down is usual. A change counts for orders "
                "that are placed from then on."
            ),
        }

    def __init__(self, data: Any = None, *, rules: TaxRules, now: datetime) -> None:
        today = business_day(now)
        if rules.statuses:
            last = rules.statuses[-1]
            initial = {**model_to_dict(last, SETTINGS), "from_day": max(last.from_day, today + timedelta(1))}
        else:
            initial = {
                "from_day": today,
                "accounting": TaxStatus.Accounting.NET,
                "filing": TaxStatus.Filing.GENERAL,
                "rounding": "down",
            }
        super().__init__(data, initial=initial)
        for name, choices in CHOICES.items():  # without an empty one
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)  # noqa: S101  (tells mypy, true of these fields)
            field.choices = choices

    def clean_registration_number(self) -> str:
        """Return the number in half-width characters without hyphens and spaces."""
        typed = unicodedata.normalize("NFKC", self.cleaned_data["registration_number"]).upper()
        number = "".join(character for character in typed if character not in "-‐−– ")
        if not number.isascii():  # the model's validator takes the digits of any script
            raise forms.ValidationError(_("T and thirteen digits, such as T7000012050002."))
        return number


class TaxRateForm(forms.Form):
    """A rate that begins on a day to come; `enter_rate` compares it with the others."""

    tax_class = forms.ChoiceField(
        label=_("tax class"), choices=TaxClass.choices, widget=UnfoldAdminSelectWidget
    )
    from_day = forms.DateField(label=_("delivered from"), widget=DayInput)
    percent = forms.IntegerField(
        label=_("percent"),
        min_value=0,
        max_value=99,
        help_text=_("0 is taxed at 0 %, not exempt."),
        widget=UnfoldAdminIntegerFieldWidget(attrs={"inputmode": "numeric"}),
    )
