"""Forms as people fill them in: typed text brought into one form, whatever the keyboard was set to."""

import re
import unicodedata
from typing import Any, ClassVar

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

HYPHENS = re.compile("[‐‑‒–—―−ーｰ－~〜]")
BETWEEN_DIGITS = re.compile(r"(?<=[0-9])[‐‑‒–—―−ー](?=[0-9])")
TOO_LONG = _("Please keep this to %(limit_value)d characters at most.")
KANA = re.compile(r"[ァ-ヺー・ ]+")


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

    default_error_messages: ClassVar[dict[str, Any]] = {"max_length": TOO_LONG}

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


class TypedTextField(forms.CharField):
    """Several lines of text, kept as they were typed."""

    widget = forms.Textarea
    default_error_messages: ClassVar[dict[str, Any]] = {"max_length": TOO_LONG}


class TypedEmailField(forms.EmailField):
    """An e-mail address; full-width letters are a slip of the keyboard."""

    default_error_messages: ClassVar[dict[str, Any]] = {
        "required": _("Please enter your e-mail address."),
        "invalid": _("Please check the spelling, for example hanako@example.jp."),
        "max_length": TOO_LONG,
    }

    def to_python(self, value: Any) -> str:
        """Return the address in NFKC."""
        return unicodedata.normalize("NFKC", super().to_python(value) or "").strip()


class TypedForm(forms.Form):
    """A form whose fields help keyboards and password managers along."""

    # field → autocomplete (WHATWG), inputmode, example
    HINTS: ClassVar[dict[str, tuple[str, str, str | Promise]]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        for name, hints in self.HINTS.items():
            pairs = zip(("autocomplete", "inputmode", "placeholder"), hints, strict=True)
            self.fields[name].widget.attrs.update({key: value for key, value in pairs if value})

    def problems(self) -> list[tuple[str, str]]:
        """Return the field's id and what to do about it, for the summary above the form.

        What is missing is asked for by name already; any other message gets its field's label in front.
        """
        return [
            (bound.id_for_label, message if error.code == "required" else f"{bound.label}: {message}")
            for bound in self
            for error in bound.errors.as_data()
            for message in error.messages
        ]
