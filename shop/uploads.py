"""Checks of uploaded product pictures: size, real format, no format that can contain scripts."""

import secrets
import warnings
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _
from PIL import Image

MAX_UPLOAD_BYTES = 5_000_000
MAX_SIDE_PIXELS = 8_000  # px
SUFFIX_BY_FORMAT = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "AVIF": ".avif"}


@dataclass(frozen=True, slots=True)
class PictureInfo:
    """The properties of an uploaded picture."""

    width: int  # px
    height: int  # px
    name: str  # random, with the suffix of the real format; the uploaded name is ignored


def inspect_picture(file: "UploadedFile[Any]") -> PictureInfo:
    """Return the properties of an uploaded picture, by its content.

    Raises:
        ValidationError: too large, not a picture, or of another format (SVG can contain scripts).
    """
    if (file.size or 0) > MAX_UPLOAD_BYTES:
        raise ValidationError(_("The picture is larger than 5 MB. Please make it smaller."))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=list(SUFFIX_BY_FORMAT)) as picture:
                (width, height), kind = picture.size, picture.format or ""
                picture.verify()
    except Exception:  # decoders raise many types for malformed files: RuntimeError, SyntaxError, warnings
        raise ValidationError(
            _("This is no picture we can show. Please upload a JPEG, PNG, WebP or AVIF.")
        ) from None
    finally:
        file.seek(0)
    if max(width, height) > MAX_SIDE_PIXELS:
        raise ValidationError(_("The picture has more than 8,000 pixels on a side. Please make it smaller."))
    return PictureInfo(width, height, secrets.token_hex(10) + SUFFIX_BY_FORMAT[kind])
