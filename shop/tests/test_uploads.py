"""What becomes of an uploaded picture: upright, sRGB, without metadata, in the sizes that pages need."""

import io
from pathlib import Path

import pytest
from django.conf import settings as project
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from PIL import Image, ImageCms

from shop.models import Picture
from shop.testing import build
from shop.testing.admin import form, with_picture
from shop.uploads import EncodedPicture, encode_picture

ORIENTATION, GPS, ARTIST = 0x0112, 0x8825, 0x013B


def photograph(size: tuple[int, int] = (1_200, 600), *, orientation: int = 1, **options: object) -> bytes:
    """Return a JPEG whose left half is red, with the position of the photographer."""
    picture = Image.new("RGB", size, "blue")
    picture.paste("red", (0, 0, size[0] // 2, size[1]))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[ARTIST] = "Hanako"
    exif.get_ifd(GPS)[1] = "N"
    exif.get_ifd(GPS)[2] = (35.0, 41.0, 22.0)
    written = io.BytesIO()
    picture.save(written, "JPEG", exif=exif, comment=b"secret place", **options)
    return written.getvalue()


def colour(picture: Image.Image, x: int, y: int) -> tuple[int, int, int]:
    """Return the red, green and blue of a point."""
    found = picture.convert("RGB").getpixel((x, y))
    assert isinstance(found, tuple)
    return found[0], found[1], found[2]


def upload(content: bytes, name: str = "x.jpg") -> EncodedPicture:
    """Return what an upload becomes."""
    return encode_picture(SimpleUploadedFile(name, content))


def pictures(encoded: EncodedPicture) -> list[Image.Image]:
    """Return all files of an encoded picture, decoded."""
    return [Image.open(io.BytesIO(one)) for one in (encoded.jpeg, *encoded.webp.values())]


def test_nothing_but_the_pixels_and_the_colour_profile_is_kept() -> None:
    content = photograph()
    assert Image.open(io.BytesIO(content)).getexif().get_ifd(GPS)  # it was there
    encoded = upload(content)
    for picture in pictures(encoded):
        assert not picture.getexif()
        assert set(picture.info) & {"exif", "xmp", "comment", "photoshop"} == set()
        profile = ImageCms.ImageCmsProfile(io.BytesIO(picture.info["icc_profile"]))
        assert "sRGB" in ImageCms.getProfileDescription(profile)
    for one in (encoded.jpeg, *encoded.webp.values()):
        assert b"Hanako" not in one and b"secret place" not in one and b"Exif" not in one


def test_a_turned_picture_is_upright_and_measured_after_that() -> None:
    encoded = upload(photograph((1_200, 600), orientation=6))  # turn by 90° clockwise
    assert (encoded.width, encoded.height) == (600, 1_200)
    for picture in pictures(encoded):
        assert picture.height == picture.width * 2
        top, bottom = colour(picture, 10, 10), colour(picture, 10, picture.height - 10)
        assert top[0] > 200 and bottom[2] > 200  # what was left is on top


def test_other_colour_spaces_become_srgb() -> None:
    written = io.BytesIO()
    Image.new("CMYK", (40, 40), (0, 255, 255, 0)).save(written, "JPEG")
    for picture in pictures(upload(written.getvalue())):
        assert picture.mode == "RGB"
        assert colour(picture, 5, 5)[0] > 200


def test_a_profile_is_applied_and_one_that_does_not_fit_is_ignored() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"____", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"____", b"gXYZ", 1)
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    shown = []
    for profile in (swapped, lab, b"nonsense"):
        written = io.BytesIO()
        Image.new("RGB", (40, 40), (10, 200, 30)).save(written, "PNG", icc_profile=profile)
        shown.append(colour(pictures(upload(written.getvalue(), "x.png"))[0], 5, 5))
    assert shown[0][0] > 180 and shown[0][1] < 60  # its green is red
    assert all(abs(one[1] - 200) < 8 for one in shown[1:])


def test_a_transparent_picture_stands_on_white() -> None:
    written = io.BytesIO()
    Image.new("RGBA", (40, 40), (0, 0, 0, 0)).save(written, "PNG")
    assert colour(pictures(upload(written.getvalue(), "x.png"))[0], 5, 5) == (255, 255, 255)


@pytest.mark.parametrize(
    ("size", "measured", "widths"),
    [
        ((3_000, 1_500), (1_600, 800), [400, 800, 1_600]),
        ((1_200, 600), (1_200, 600), [400, 800, 1_200]),
        ((300, 300), (300, 300), [300]),
        ((1_000, 5_000), (480, 2_400), [400, 480]),
    ],
)
def test_a_picture_has_the_sizes_that_pages_need_and_is_never_enlarged(
    size: tuple[int, int], measured: tuple[int, int], widths: list[int]
) -> None:
    encoded = upload(photograph(size))
    assert (encoded.width, encoded.height) == measured
    assert list(encoded.webp) == widths
    for width, content in encoded.webp.items():
        assert Image.open(io.BytesIO(content)).format == "WEBP"
        assert Image.open(io.BytesIO(content)).width == width


def test_a_truncated_picture_is_refused_however_large_it_says_it_is() -> None:
    written = io.BytesIO()
    Image.effect_noise((600, 600), 80).save(written, "PNG")
    for content in (written.getvalue()[:-40_000], photograph()[:-3_000]):
        with pytest.raises(ValidationError):
            upload(content)


def test_a_picture_of_too_many_pixels_is_refused() -> None:
    written = io.BytesIO()
    Image.new("1", (7_999, 7_999)).save(written, "PNG")
    assert len(written.getvalue()) < 5_000_000
    with pytest.raises(ValidationError, match="4,000万"):
        upload(written.getvalue())


@pytest.mark.django_db
def test_pages_offer_the_sizes_and_a_fallback(admin_client: Client, client: Client) -> None:
    product = build.product(picture=False)
    answer = admin_client.post(
        f"/admin/shop/product/{product.pk}/change/",
        form(product) | with_picture("x.jpg", photograph((2_000, 1_000))),
    )
    assert answer.status_code == 302, answer.context["errors"]
    picture = Picture.objects.get()
    stem = str(picture.file.name).removesuffix(".jpg")
    assert (picture.width, picture.height, picture.sizes) == (1_600, 800, "400 800 1600")
    for width in (400, 800, 1_600):
        assert (Path(project.MEDIA_ROOT) / f"{stem}-{width}.webp").is_file()
    for path in ("/", "/products/", "/products/madoka/", "/search/?q=madoka"):
        page = client.get(path).content.decode()
        assert f"/media/{stem}-400.webp 400w, /media/{stem}-800.webp 800w" in page
        assert f'<img src="/media/{stem}.jpg" width="1600" height="800"' in page.replace(
            'class="of o1 first" ', ""
        )
    assert client.get(f"/media/{stem}-400.webp")["Content-Type"] == "image/webp"
