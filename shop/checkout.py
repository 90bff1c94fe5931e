"""The address form: fields in the Japanese order, typed text brought into one form, nothing lost."""

import re
import unicodedata
from typing import Any, ClassVar

from django import forms
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

# ISO 3166-2:JP order, from north to south, as every Japanese form has it
PREFECTURES = [
    "北海道",
    "青森県",
    "岩手県",
    "宮城県",
    "秋田県",
    "山形県",
    "福島県",
    "茨城県",
    "栃木県",
    "群馬県",
    "埼玉県",
    "千葉県",
    "東京都",
    "神奈川県",
    "新潟県",
    "富山県",
    "石川県",
    "福井県",
    "山梨県",
    "長野県",
    "岐阜県",
    "静岡県",
    "愛知県",
    "三重県",
    "滋賀県",
    "京都府",
    "大阪府",
    "兵庫県",
    "奈良県",
    "和歌山県",
    "鳥取県",
    "島根県",
    "岡山県",
    "広島県",
    "山口県",
    "徳島県",
    "香川県",
    "愛媛県",
    "高知県",
    "福岡県",
    "佐賀県",
    "長崎県",
    "熊本県",
    "大分県",
    "宮崎県",
    "鹿児島県",
    "沖縄県",
]
ROMAN = [
    "Hokkaido",
    "Aomori",
    "Iwate",
    "Miyagi",
    "Akita",
    "Yamagata",
    "Fukushima",
    "Ibaraki",
    "Tochigi",
    "Gunma",
    "Saitama",
    "Chiba",
    "Tokyo",
    "Kanagawa",
    "Niigata",
    "Toyama",
    "Ishikawa",
    "Fukui",
    "Yamanashi",
    "Nagano",
    "Gifu",
    "Shizuoka",
    "Aichi",
    "Mie",
    "Shiga",
    "Kyoto",
    "Osaka",
    "Hyogo",
    "Nara",
    "Wakayama",
    "Tottori",
    "Shimane",
    "Okayama",
    "Hiroshima",
    "Yamaguchi",
    "Tokushima",
    "Kagawa",
    "Ehime",
    "Kochi",
    "Fukuoka",
    "Saga",
    "Nagasaki",
    "Kumamoto",
    "Oita",
    "Miyazaki",
    "Kagoshima",
    "Okinawa",
]
HYPHENS = re.compile("[‐‑‒–—―−ーｰ－~〜]")
BETWEEN_DIGITS = re.compile(r"(?<=[0-9])[‐‑‒–—―−ー](?=[0-9])")
KANA = re.compile(r"[ァ-ヺー・ ]+")
PHONE = re.compile(r"0\d{9,10}")


def one_form(text: str) -> str:
    """Bring typed text into NFKC without surrounding or doubled blanks: ＡＢ１２ becomes AB12, ｶﾅ becomes カナ."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def digits_and_hyphens(text: str) -> str:
    """Bring a typed number into ASCII digits and hyphens; blanks, brackets and dots separate as hyphens do."""
    plain = HYPHENS.sub("-", unicodedata.normalize("NFKC", text).strip())
    return re.sub(r"-+", "-", re.sub(r"[\s().]+", "-", plain)).strip("-")


def katakana(text: str) -> str:
    """Turn hiragana into katakana."""
    return "".join(chr(ord(sign) + 0x60) if "ぁ" <= sign <= "ゖ" else sign for sign in text)


class TypedField(forms.CharField):
    """A line of text in one form."""

    def to_python(self, value: Any) -> str:
        """Return the text in NFKC, hyphens between digits as hyphens."""
        return BETWEEN_DIGITS.sub("-", one_form(super().to_python(value) or ""))


class KanaField(TypedField):
    """A reading in katakana."""

    def to_python(self, value: Any) -> str:
        """Return katakana, also from hiragana and half-width signs."""
        text = katakana(super().to_python(value))
        if text and not KANA.fullmatch(text):
            raise forms.ValidationError(_("Please write it in katakana, for example ヤマダ."))
        return text


class TypedEmailField(forms.EmailField):
    """An e-mail address; full-width letters are a slip of the keyboard."""

    def to_python(self, value: Any) -> str:
        """Return the address in NFKC."""
        return unicodedata.normalize("NFKC", super().to_python(value) or "").strip()


class AddressForm(forms.Form):
    """Where the parcel goes."""

    family_name = TypedField(label=_("Family name"), max_length=50)
    given_name = TypedField(label=_("Given name"), max_length=50)
    family_name_kana = KanaField(label=_("Family name (katakana)"), max_length=50, required=False)
    given_name_kana = KanaField(label=_("Given name (katakana)"), max_length=50, required=False)
    postal_code = forms.CharField(label=_("Postal code"), max_length=20)
    prefecture = forms.ChoiceField(label=_("Prefecture"))
    city = TypedField(label=_("City or ward"), max_length=100)
    street = TypedField(label=_("District and number"), max_length=100)
    building = TypedField(label=_("Building and room"), max_length=100, required=False)
    phone = forms.CharField(label=_("Telephone"), max_length=30)
    email = TypedEmailField(label=_("E-mail"), max_length=254)
    note = forms.CharField(label=_("Note to us"), max_length=1000, required=False, widget=forms.Textarea)

    # autocomplete (WHATWG), inputmode, example
    HINTS: ClassVar[dict[str, tuple[str, str, str]]] = {
        "family_name": ("shipping family-name", "text", "山田"),
        "given_name": ("shipping given-name", "text", "花子"),
        "family_name_kana": ("off", "text", "ヤマダ"),
        "given_name_kana": ("off", "text", "ハナコ"),
        "postal_code": ("shipping postal-code", "numeric", "150-0001"),
        "prefecture": ("shipping address-level1", "", ""),
        "city": ("shipping address-level2", "text", "渋谷区"),
        "street": ("shipping address-line1", "text", "神宮前1-2-3"),
        "building": ("shipping address-line2", "text", "青葉ビル 405"),
        "phone": ("shipping tel", "tel", "03-1234-5678"),
        "email": ("email", "email", "hanako@example.jp"),
        "note": ("off", "text", ""),
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        english = get_language() == "en"
        names = zip(PREFECTURES, ROMAN, strict=True)
        prefecture = self.fields["prefecture"]
        assert isinstance(prefecture, forms.ChoiceField)  # noqa: S101  (tells mypy, true by the class above)
        prefecture.choices = [
            ("", _("Please choose")),
            *((japanese, f"{roman} {japanese}" if english else japanese) for japanese, roman in names),
        ]
        for name in ("family_name_kana", "given_name_kana"):
            self.fields[name].required = not english  # carriers sort by it; not everybody has one
        self.fields["note"].widget.attrs["rows"] = 3
        for name, (autocomplete, mode, example) in self.HINTS.items():
            self.fields[name].error_messages["required"] = _("Please fill this in.")
            attributes = self.fields[name].widget.attrs
            attributes["autocomplete"] = autocomplete
            if mode:
                attributes["inputmode"] = mode
            if example:
                attributes["placeholder"] = example
            if self.is_bound and name in self.errors:
                attributes["aria-invalid"] = "true"
                attributes["aria-describedby"] = f"error-{name}"

    def clean_postal_code(self) -> str:
        """Return the postal code as 123-4567."""
        digits = digits_and_hyphens(self.cleaned_data["postal_code"]).removeprefix("〒").replace("-", "")
        if not re.fullmatch(r"[0-9]{7}", digits):
            raise forms.ValidationError(
                _("Please enter the seven digits of the postal code, for example 150-0001.")
            )
        return f"{digits[:3]}-{digits[3:]}"

    def clean_phone(self) -> str:
        """Return the number as typed, in ASCII, once its digits are those of a Japanese telephone."""
        typed = digits_and_hyphens(self.cleaned_data["phone"])
        if typed.startswith("+81"):
            typed = "0" + typed.removeprefix("+81").lstrip("-").removeprefix("0")
        if not PHONE.fullmatch(typed.replace("-", "")) or len(typed) > 20:
            raise forms.ValidationError(
                _("Please enter a telephone number in Japan with 10 or 11 digits, for example 03-1234-5678.")
            )
        return typed
