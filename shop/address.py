"""The address form: fields in the Japanese order, each with a word of its own when it is missing."""

import re
from typing import Any, ClassVar

from django import forms
from django.utils.functional import Promise
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from shop.forms import KanaField, TypedEmailField, TypedField, TypedForm, TypedTextField, digits_and_hyphens

# ISO 3166-2:JP order, from north to south, as every Japanese form has it
REGISTER = """
    北海道 Hokkaido 青森県 Aomori 岩手県 Iwate 宮城県 Miyagi 秋田県 Akita 山形県 Yamagata
    福島県 Fukushima 茨城県 Ibaraki 栃木県 Tochigi 群馬県 Gunma 埼玉県 Saitama 千葉県 Chiba
    東京都 Tokyo 神奈川県 Kanagawa 新潟県 Niigata 富山県 Toyama 石川県 Ishikawa 福井県 Fukui
    山梨県 Yamanashi 長野県 Nagano 岐阜県 Gifu 静岡県 Shizuoka 愛知県 Aichi 三重県 Mie
    滋賀県 Shiga 京都府 Kyoto 大阪府 Osaka 兵庫県 Hyogo 奈良県 Nara 和歌山県 Wakayama
    鳥取県 Tottori 島根県 Shimane 岡山県 Okayama 広島県 Hiroshima 山口県 Yamaguchi 徳島県 Tokushima
    香川県 Kagawa 愛媛県 Ehime 高知県 Kochi 福岡県 Fukuoka 佐賀県 Saga 長崎県 Nagasaki
    熊本県 Kumamoto 大分県 Oita 宮崎県 Miyazaki 鹿児島県 Kagoshima 沖縄県 Okinawa
"""
NAMES = REGISTER.split()
PREFECTURES = dict(zip(NAMES[::2], NAMES[1::2], strict=True))
PHONE = re.compile(r"0\d{9,10}")


def required(message: Promise) -> dict[str, Any]:
    """Say `message` when the field is left empty."""
    return {"required": message}


class AddressForm(TypedForm):
    """Where the parcel goes."""

    family_name = TypedField(
        label=_("Family name"), max_length=50, error_messages=required(_("Please enter your family name."))
    )
    given_name = TypedField(
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
    postal_code = TypedField(
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
    city = TypedField(
        label=_("City or ward"), max_length=100, error_messages=required(_("Please enter your city or ward."))
    )
    street = TypedField(
        label=_("District and number"),
        max_length=100,
        error_messages=required(_("Please enter the district and the number.")),
    )
    building = TypedField(label=_("Building and room"), max_length=100, required=False)
    phone = TypedField(
        label=_("Telephone"),
        max_length=30,
        help_text=_("Only for questions about the delivery."),
        error_messages=required(_("Please enter your telephone number.")),
    )
    email = TypedEmailField(label=_("E-mail"), max_length=254, help_text=_("We send the confirmation here."))
    note = TypedTextField(label=_("Note to us"), max_length=1000, required=False)

    HINTS: ClassVar = {
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
            self.fields[name].required = not english  # carriers sort by it; not everybody has one
        self.fields["note"].widget.attrs["rows"] = 3

    def clean_postal_code(self) -> str:
        """Return the postal code as 123-4567."""
        digits = digits_and_hyphens(self.cleaned_data["postal_code"]).removeprefix("〒").replace("-", "")
        if not re.fullmatch(r"[0-9]{7}", digits):
            raise forms.ValidationError(_("Please enter seven digits, for example 150-0001."))
        return f"{digits[:3]}-{digits[3:]}"

    def clean_phone(self) -> str:
        """Return the number as typed, in ASCII, once its digits are those of a Japanese telephone."""
        typed = digits_and_hyphens(self.cleaned_data["phone"])
        if typed.startswith("+81"):
            typed = "0" + typed.removeprefix("+81").lstrip("-").removeprefix("0")
        if not PHONE.fullmatch(typed.replace("-", "")) or len(typed) > 20:
            raise forms.ValidationError(
                _("Please enter a number in Japan with 10 or 11 digits, for example 03-1234-5678.")
            )
        return typed
