"""Uploaded product pictures: small enough, really a picture, of a kind that browsers show and nothing runs in."""

import secrets
import warnings
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _
from PIL import Image

MAX_BYTES = 5_000_000
MAX_SIDE = 8_000  # px
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "AVIF": ".avif"}


@dataclass(frozen=True, slots=True)
class Measured:
    """A picture that was looked into."""

    width: int  # px
    height: int  # px
    name: str  # random, with the suffix of the real format: what the uploader called it does not matter


def measure(file: "UploadedFile[Any]") -> Measured:
    """Look into an uploaded picture; the name it came with proves nothing.

    Raises:
        ValidationError: too large, no picture, or of a kind that is not shown (SVG, which may carry scripts).
    """
    if (file.size or 0) > MAX_BYTES:
        raise ValidationError(_("The picture is larger than 5 MB. Please make it smaller."))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=list(SUFFIXES)) as picture:
                (width, height), kind = picture.size, picture.format or ""
                picture.verify()
    except (
        Exception
    ):  # decoders raise what they like at bytes that mean harm: RuntimeError, SyntaxError, a warning, …
        raise ValidationError(
            _("This is no picture we can show. Please upload a JPEG, PNG, WebP or AVIF.")
        ) from None
    finally:
        file.seek(0)
    if max(width, height) > MAX_SIDE:
        raise ValidationError(_("The picture has more than 8,000 pixels on a side. Please make it smaller."))
    return Measured(width, height, secrets.token_hex(10) + SUFFIXES[kind])
