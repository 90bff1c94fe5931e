"""Malicious uploads are refused with a message or stored as the picture that they are; none can run."""

import resource
import struct
import zlib
from pathlib import Path

import pytest
from django.conf import settings as project
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from shop.models import Picture
from shop.testing import build
from shop.testing.admin import drawing, form, with_picture
from shop.uploads import encode_picture

pytestmark = pytest.mark.django_db


def png(width: int, height: int, *, data: bytes = b"", extra: tuple[bytes, bytes] | None = None) -> bytes:
    """Return a PNG with any declared size and any chunk."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(*extra) if extra else b"", chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


DECOMPRESSION_BOMB = zlib.compress(b"\0" * 30_000_000, 9)
REFUSED_FILES: dict[str, tuple[str, bytes]] = {
    "nothing in it": ("x.png", b""),
    "one byte": ("x.png", b"\0"),
    "the head of a picture alone": ("x.png", b"\x89PNG\r\n\x1a\n"),
    "a picture cut off": ("x.png", drawing()[:-20]),
    "a checksum that is wrong": ("x.png", drawing().replace(b"IDAT", b"IDAX")),
    "a drawing with a script": ("x.svg", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
    "a drawing that calls itself a picture": (
        "x.png",
        b"<?xml version='1.0'?><svg><script>alert(1)</script></svg>",
    ),
    "a page that calls itself a picture": ("x.png", b"<html><script>alert(1)</script></html>"),
    "a picture that is a script": ("x.gif", b"GIF89a/*\x00\x00\x80\x00\x00*/=1;alert(1)//\x3b"),
    "PostScript": ("x.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n"),
    "a PDF": ("x.jpg", b"%PDF-1.7\n1 0 obj"),
    "a TIFF": ("x.png", drawing("TIFF")),
    "a BMP": ("x.png", drawing("BMP")),
    "a program": ("x.png", b"\x7fELF" + b"\0" * 100),
    "a side of nothing": ("x.png", png(0, 10)),
    "two billion pixels wide": ("x.png", png(2**31 - 1, 1, data=zlib.compress(b"\0"))),
    "a bomb of pixels": ("x.png", png(60_000, 60_000, data=DECOMPRESSION_BOMB)),
    "a bomb of text": (
        "x.png",
        png(10, 10, data=zlib.compress(b"\0" * 110), extra=(b"zTXt", b"a\0\0" + DECOMPRESSION_BOMB)),
    ),
    "more than eight thousand pixels a side": ("x.png", drawing(size=(8_001, 1))),
    "a WebP of a giant": ("x.webp", b"RIFF\x1e\0\0\0WEBPVP8L\x11\0\0\0\x2f\xff\xff\xff\x0f" + b"\0" * 12),
    "more than five megabytes": ("x.jpg", drawing("JPEG") + b"\0" * 5_000_001),
}


def stored() -> list[Path]:
    """Return all files in the media folder."""
    return [path for path in Path(project.MEDIA_ROOT).rglob("*") if path.is_file()]


@pytest.mark.parametrize("case", REFUSED_FILES)
def test_a_malicious_file_is_refused_without_unpacking_it(case: str) -> None:
    name, content = REFUSED_FILES[case]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValidationError):
        encode_picture(SimpleUploadedFile(name, content))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KB: nothing was unpacked


@pytest.mark.parametrize("case", ["nothing in it", "a drawing with a script", "a bomb of pixels"])
def test_a_refused_upload_has_a_message_and_stores_nothing(admin_client: Client, case: str) -> None:
    product = build.product(picture=False)
    answer = admin_client.post(
        f"/admin/shop/product/{product.pk}/change/", form(product) | with_picture(*REFUSED_FILES[case])
    )
    assert answer.status_code == 200
    assert answer.context["errors"]
    assert not Picture.objects.exists()
    assert not stored()


@pytest.mark.parametrize(
    "name",
    ["../../../etc/passwd", "..\\..\\x.php", "x.php.png", "é\u202egnp.exe", ".htaccess", "a\x00b.png", "con"],
)
def test_the_uploaded_file_name_is_ignored(admin_client: Client, client: Client, name: str) -> None:
    product = build.product(picture=False)
    # HTML after the end of the picture: a valid PNG, but HTML to clients that guess the type
    content = drawing() + b"<html><script>alert(1)</script></html>"
    answer = admin_client.post(
        f"/admin/shop/product/{product.pk}/change/", form(product) | with_picture(name, content)
    )
    assert answer.status_code == 302, answer.context["errors"]
    picture = Picture.objects.get()
    assert sorted(path.suffix for path in stored()) == [".jpg", ".webp"]
    assert all(Path(project.MEDIA_ROOT) in path.parents for path in stored())
    assert not any(b"<script>" in path.read_bytes() for path in stored())
    sent = client.get(f"/media/{picture.file.name}")
    assert sent["Content-Type"] == "image/jpeg"
    assert sent["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in sent["Content-Security-Policy"] and "script" not in sent["Content-Security-Policy"]


@given(
    content=st.binary(max_size=300),
    kind=st.sampled_from(["PNG", "JPEG", "WEBP", "AVIF", ""]),
    at=st.integers(0, 200),
)
@hypothesis_settings(max_examples=100, deadline=None)
def test_any_bytes_are_measured_or_refused(content: bytes, kind: str, at: int) -> None:
    whole = drawing(kind) if kind else b""
    file = SimpleUploadedFile("x", whole[:at] + content + whole[at + len(content) :])
    try:
        measured = encode_picture(file)
    except ValidationError:
        return
    assert 0 < measured.width <= 1_600 and 0 < measured.height <= 2_400
