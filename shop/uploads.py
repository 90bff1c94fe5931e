"""Uploaded product pictures: decoded fully and encoded anew, in the sizes that pages need.

What is stored is never the uploaded file. It is upright (EXIF), sRGB, and without any metadata but the colour
profile, so no GPS position is published and nothing that hides in a file survives.
"""

import io
import secrets
import warnings
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _
from PIL import Image, ImageCms, ImageOps

MAX_UPLOAD_BYTES = 5_000_000
MAX_SIDE_PIXELS = 8_000  # px
MAX_PIXELS = 40_000_000  # decoded, they take 160 MB
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF")
# Cards are 173 to 282 px wide, the picture of a product up to 640 px: with two pixels for each, 400 to 1,600.
WIDTHS = (400, 800, 1_600)  # px, of the WebP files
MAX_SIZE = (WIDTHS[-1], 2_400)  # px, of the JPEG for browsers without WebP, shared links and search engines
JPEG_QUALITY, WEBP_QUALITY = 86, 82


@dataclass(frozen=True, slots=True)
class EncodedPicture:
    """A picture as it is stored."""

    name: str  # random; the uploaded name is ignored
    width: int  # px, of the JPEG
    height: int  # px
    jpeg: bytes
    webp: dict[int, bytes]  # width (px) → file

    @property
    def sizes(self) -> str:
        """Return the widths of the WebP files, separated by blanks."""
        return " ".join(map(str, self.webp))


def encode_picture(file: "UploadedFile[Any]") -> EncodedPicture:
    """Return an uploaded picture encoded anew.

    Raises:
        ValidationError: too large, broken, not a picture, or of another format (SVG can contain scripts).
    """
    if (file.size or 0) > MAX_UPLOAD_BYTES:
        raise ValidationError(_("The picture is larger than 5 MB. Please make it smaller."))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=list(FORMATS)) as opened:
                check_size(*opened.size)
                opened.verify()  # finds what decoding forgives, such as a missing end
            file.seek(0)
            with Image.open(file, formats=list(FORMATS)) as opened:
                picture = decode(opened)
    except ValidationError:
        raise
    except Exception:  # decoders raise many types for malformed files: RuntimeError, SyntaxError, warnings
        raise ValidationError(
            _("This is no picture we can show. Please upload a JPEG, PNG, WebP or AVIF.")
        ) from None
    finally:
        file.seek(0)
    picture.thumbnail(MAX_SIZE, Image.Resampling.LANCZOS)
    widths = [*(width for width in WIDTHS if width < picture.width), picture.width]
    return EncodedPicture(
        name=f"{secrets.token_hex(10)}.jpg",
        width=picture.width,
        height=picture.height,
        jpeg=encode(picture, "JPEG", quality=JPEG_QUALITY, progressive=True, optimize=True),
        webp={
            width: encode(resize(picture, width), "WEBP", quality=WEBP_QUALITY, method=4) for width in widths
        },
    )


def check_size(width: int, height: int) -> None:
    """Refuse a picture by the size in its header, before it is decoded."""
    if max(width, height) > MAX_SIDE_PIXELS:
        raise ValidationError(_("The picture has more than 8,000 pixels on a side. Please make it smaller."))
    if width * height > MAX_PIXELS:
        raise ValidationError(_("The picture has more than 40 million pixels. Please make it smaller."))


def decode(opened: Image.Image) -> Image.Image:
    """Return an opened picture decoded to its end, upright, in sRGB, on white, without metadata."""
    profile = opened.info.get("icc_profile")
    opened.load()
    picture = ImageOps.exif_transpose(opened)
    if picture.mode.startswith("I"):  # 16 bits of grey
        picture = picture.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        white.alpha_composite(picture.convert("RGBA"))
        picture = white.convert("RGB")
    elif picture.mode not in ("RGB", "L", "CMYK"):
        picture = picture.convert("RGB")
    plain = Image.new("RGB", picture.size)
    plain.paste(to_srgb(picture, profile))
    return plain


def to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Return a picture in sRGB; a profile that does not fit it counts as none."""
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(picture, source, SRGB, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            converted = None
        if converted is not None:
            return converted
    return picture.convert("RGB")


def resize(picture: Image.Image, width: int) -> Image.Image:
    """Return a picture of a width (px)."""
    if width == picture.width:
        return picture
    height = max(round(picture.height * width / picture.width), 1)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def encode(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """Return a picture as a file that holds nothing but its pixels and the profile of sRGB."""
    written = io.BytesIO()
    picture.save(written, kind, icc_profile=SRGB_BYTES, **options)
    return written.getvalue()


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
SRGB_BYTES = SRGB.tobytes()
