"""Form fields that normalise what was typed: full-width and half-width signs, blanks, hyphens."""

import re
import unicodedata
from typing import Any, ClassVar

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from kikaku.text import HYPHENS_IN_NUMBERS, has_link, has_web_address

HYPHEN_BETWEEN_DIGITS = re.compile(r"(?<=[0-9])[‐‑‒–—―−ー](?=[0-9])")
CHECK = "check"  # query parameter of the page that shows what was wrong with the last post
NONCE_PATTERN = re.compile(r"[A-Za-z0-9_-]{20,64}")  # of a form: two clicks are one order or message
TOO_LONG_MESSAGE = _("Please keep this to %(limit_value)d characters at most.")
KATAKANA_LINE = re.compile(r"[ァ-ヺー・＝.'’‐-― -]+")
# between parts of a foreign name, as in ジョン＝スミス; NFKC makes the first two an ASCII sign
DOUBLE_HYPHEN = re.compile("[=゠]")
# addresses of these companies may have dots where no other address has them: hanako.@docomo.ne.jp
MOBILE_MAIL_DOMAIN = re.compile(
    r"(?:.+\.)?(?:docomo\.ne\.jp|ezweb\.ne\.jp|au\.com|vodafone\.ne\.jp|softbank\.ne\.jp)"
)


def normalise_line(text: str) -> str:
    """Return a text in NFKC without surrounding or repeated blanks: ＡＢ１２ → AB12, ｶﾅ → カナ."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def normalise_number(text: str) -> str:
    """Return a typed number in ASCII digits and hyphens; blanks, brackets and dots become hyphens."""
    plain = HYPHENS_IN_NUMBERS.sub("-", unicodedata.normalize("NFKC", text).strip())
    return re.sub(r"-+", "-", re.sub(r"[\s().]+", "-", plain)).strip("-")


def to_katakana(text: str) -> str:
    """Return a text with its hiragana as katakana."""
    return "".join(chr(ord(sign) + 0x60) if "ぁ" <= sign <= "ゖ" else sign for sign in text)


class LineField(forms.CharField):
    """A line of text, normalised."""

    default_error_messages: ClassVar[dict[str, Any]] = {"max_length": TOO_LONG_MESSAGE}

    def to_python(self, value: Any) -> str:
        """Return the text in NFKC, with ASCII hyphens between digits."""
        return HYPHEN_BETWEEN_DIGITS.sub("-", normalise_line(super().to_python(value) or ""))


class LinklessField(LineField):
    """A line that a mail may repeat: without an address of the web, which could lead a stranger elsewhere."""

    def validate(self, value: str) -> None:
        """Refuse addresses of the web."""
        super().validate(value)
        if has_link(value):
            raise forms.ValidationError(_("Please write this without an address of the web."))


class NameField(LineField):
    """A part of a name, which mails greet: without an address of the web."""

    def validate(self, value: str) -> None:
        """Refuse addresses of the web, such as evil.example."""
        super().validate(value)
        if has_web_address(value):
            raise forms.ValidationError(_("Please write a name without an address of the web."))

    def to_python(self, value: Any) -> str:
        """Return the text with the double hyphen of Japanese names, which NFKC makes an ASCII sign."""
        return DOUBLE_HYPHEN.sub("＝", super().to_python(value))


class KanaField(NameField):
    """A reading in katakana."""

    def to_python(self, value: Any) -> str:
        """Return katakana; hiragana and half-width signs are converted."""
        text = to_katakana(super().to_python(value))
        if text and not KATAKANA_LINE.fullmatch(text):
            raise forms.ValidationError(_("Please write it in katakana, for example ヤマダ."))
        return text


class MultilineField(forms.CharField):
    """Several lines of text, not normalised."""

    widget = forms.Textarea
    default_error_messages: ClassVar[dict[str, Any]] = {"max_length": TOO_LONG_MESSAGE}


class NormalisedEmailField(forms.EmailField):
    """An e-mail address; full-width letters are accepted."""

    default_error_messages: ClassVar[dict[str, Any]] = {
        "required": _("Please enter your e-mail address."),
        "invalid": _("Please check the spelling, for example hanako@example.jp."),
        "max_length": TOO_LONG_MESSAGE,
    }

    def to_python(self, value: Any) -> str:
        """Return the address in NFKC."""
        return unicodedata.normalize("NFKC", super().to_python(value) or "").strip()

    def run_validators(self, value: str) -> None:
        """Accept what is an address, or would be one without the dots that mobile carriers allow."""
        local, at, domain = value.rpartition("@")
        if at and MOBILE_MAIL_DOMAIN.fullmatch(domain.lower()):
            value = ".".join(part for part in local.split(".") if part) + at + domain
        super().run_validators(value)


class ShopForm(forms.Form):
    """A form whose fields have hints for autofill and on-screen keyboards."""

    # field → (autocomplete as WHATWG defines it, inputmode, placeholder)
    FIELD_HINTS: ClassVar[dict[str, tuple[str, str, str | Promise]]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        for name, hints in self.FIELD_HINTS.items():
            pairs = zip(("autocomplete", "inputmode", "placeholder"), hints, strict=True)
            self.fields[name].widget.attrs.update({key: value for key, value in pairs if value})

    def error_summary(self) -> list[tuple[str, str]]:
        """Return (field id, message) of each error, for the summary above the form.

        Messages about missing values name their field; the others get its label in front.
        """
        colon = gettext(": ")
        return [
            (bound.id_for_label, message if error.code == "required" else f"{bound.label}{colon}{message}")
            for bound in self
            for error in bound.errors.as_data()
            for message in error.messages
        ]
