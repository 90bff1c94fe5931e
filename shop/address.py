"""The delivery address form of the checkout: fields in Japanese order, each with its own message."""

import re
from typing import Any, ClassVar

from django import forms
from django.utils.functional import Promise
from django.utils.translation import get_language
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from ledger.models.delivery import PREFECTURES
from shop.forms import (
    KanaField,
    LineField,
    LinklessField,
    MultilineField,
    NameField,
    NormalisedEmailField,
    ShopForm,
    normalise_number,
)
from shop.postal_codes import fitting_prefectures

# mobile and IP telephones (050, 060, 070, 080, 090; 0800 is toll-free) have 11 digits, all others 10
LONG_NUMBER = re.compile(r"0[5-9]0")


def required(message: Promise) -> dict[str, Any]:
    """Return the error messages of a field that shows `message` if it is empty."""
    return {"required": message}


class AddressForm(ShopForm):
    """The delivery address of an order."""

    family_name = NameField(
        label=_("Family name"), max_length=50, error_messages=required(_("Please enter your family name."))
    )
    given_name = NameField(
        label=_("Given name"), max_length=50, error_messages=required(_("Please enter your given name."))
    )
    family_name_kana = KanaField(
        label=_("Family name (katakana)"),
        max_length=50,
        error_messages=required(_("Please enter the reading of your family name.")),
    )
    given_name_kana = KanaField(
        label=_("Given name (katakana)"),
        max_length=50,
        error_messages=required(_("Please enter the reading of your given name.")),
    )
    postal_code = LineField(
        label=_("Postal code"),
        max_length=20,
        help_text=_("Full-width digits are fine."),
        error_messages=required(_("Please enter your postal code.")),
    )
    prefecture = forms.ChoiceField(
        label=_("Prefecture"),
        error_messages=required(_("Please choose your prefecture."))
        | {"invalid_choice": _("Please choose one of the 47 prefectures.")},
    )
    city = LinklessField(
        label=_("City or ward"), max_length=100, error_messages=required(_("Please enter your city or ward."))
    )
    street = LinklessField(
        label=_("District and number"),
        max_length=100,
        error_messages=required(_("Please enter the district and the number.")),
    )
    building = LinklessField(label=_("Building and room"), max_length=100, required=False)
    phone = LineField(
        label=_("Telephone"),
        max_length=30,
        help_text=_("Only for questions about the delivery."),
        error_messages=required(_("Please enter your telephone number.")),
    )
    email = NormalisedEmailField(
        label=_("E-mail"), max_length=254, help_text=_("We send the confirmation here.")
    )
    note = MultilineField(label=_("Note to us"), max_length=1000, required=False)
    # what the customer was asked about and has confirmed: the postal code and the prefecture
    sure = forms.CharField(required=False, widget=forms.HiddenInput)
    asked_about = ""

    FIELD_HINTS: ClassVar = {
        "family_name": ("shipping family-name", "text", _("e.g. Yamada")),
        "given_name": ("shipping given-name", "text", _("e.g. Hanako")),
        "family_name_kana": ("off", "text", _("e.g. ヤマダ")),
        "given_name_kana": ("off", "text", _("e.g. ハナコ")),
        "postal_code": ("shipping postal-code", "numeric", _("e.g. 150-0001")),
        "prefecture": ("shipping address-level1", "", ""),
        "city": ("shipping address-level2", "text", _("e.g. Shibuya-ku")),
        "street": ("shipping address-line1", "text", _("e.g. Jingumae 1-2-3")),
        "building": ("shipping address-line2", "text", _("e.g. Aoba Building 405")),
        "phone": ("shipping tel", "tel", _("e.g. 03-1234-5678")),
        "email": ("email", "email", _("e.g. hanako@example.jp")),
        "note": ("off", "text", ""),
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        english = get_language() == "en"
        prefecture = self.fields["prefecture"]
        assert isinstance(prefecture, forms.ChoiceField)  # noqa: S101  (tells mypy, true by the class above)
        prefecture.choices = [
            ("", _("Please choose")),
            *((name, f"{roman} {name}" if english else name) for name, roman in PREFECTURES.items()),
        ]
        for name in ("family_name_kana", "given_name_kana"):
            self.fields[
                name
            ].required = not english  # carriers sort by it; customers from abroad may have none
        self.fields["note"].widget.attrs["rows"] = 3

    def clean_postal_code(self) -> str:
        """Return the postal code as 123-4567."""
        digits = normalise_number(self.cleaned_data["postal_code"]).removeprefix("〒").replace("-", "")
        if not re.fullmatch(r"[0-9]{7}", digits):
            raise forms.ValidationError(_("Please enter seven digits, for example 150-0001."))
        return f"{digits[:3]}-{digits[3:]}"

    def clean_phone(self) -> str:
        """Return the typed number in ASCII digits and hyphens, if it is a Japanese telephone number."""
        typed = normalise_number(self.cleaned_data["phone"])
        if typed.startswith("+81"):
            typed = "0" + typed.removeprefix("+81").lstrip("-").removeprefix("0")
        digits = typed.replace("-", "")
        is_long = LONG_NUMBER.match(digits) is not None
        if is_long and re.fullmatch(r"[0-9]+", digits) and len(digits) != 11:
            raise forms.ValidationError(
                _("Mobile numbers have 11 digits, for example 090-1234-5678. Please check the number.")
            )
        if not re.fullmatch(r"0[0-9]{10}" if is_long else r"0[0-9]{9}", digits) or len(typed) > 20:
            raise forms.ValidationError(
                _("Please enter a number in Japan, for example 03-1234-5678 or 090-1234-5678.")
            )
        return typed

    def clean(self) -> dict[str, Any]:
        """Ask once about a postal code that does not fit the prefecture; never refuse it for good."""
        cleaned = super().clean() or self.cleaned_data
        postal_code, prefecture = cleaned.get("postal_code"), cleaned.get("prefecture")
        if postal_code and prefecture:
            fitting = fitting_prefectures(postal_code)
            if prefecture not in fitting and cleaned.get("sure") != f"{postal_code} {prefecture}":
                self.asked_about = f"{postal_code} {prefecture}"
                self.add_error("postal_code", postal_code_question(postal_code, prefecture, fitting))
        return cleaned

    def address(self) -> dict[str, Any]:
        """Return the checked address, of a valid form."""
        return {name: value for name, value in self.cleaned_data.items() if name != "sure"}


def postal_code_question(postal_code: str, prefecture: str, fitting: set[str]) -> str:
    """Return what a customer is asked about a postal code that does not fit."""
    choose = (lambda name: PREFECTURES[name]) if get_language() == "en" else str
    if not fitting:
        return _now("We do not know the postal code %(code)s. Is it right?") % {"code": postal_code}
    names = _now(" or ").join(choose(name) for name in PREFECTURES if name in fitting)
    text = _now("The postal code %(code)s belongs to %(fitting)s, not to %(chosen)s. Is it right?")
    return text % {"code": postal_code, "fitting": names, "chosen": choose(prefecture)}
