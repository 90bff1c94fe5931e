"""Product pictures from the local disk."""

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.http import FileResponse
from django.test import Client


def test_an_svg_is_cached_forever_and_sandboxed(client: Client) -> None:
    name = default_storage.save(
        "products/lamp.svg", ContentFile(b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    )
    answer = client.get(f"/media/{name}")
    assert isinstance(answer, FileResponse)
    assert b"".join(answer).startswith(b"<svg")
    assert answer["Content-Type"] == "image/svg+xml"
    assert "max-age=31536000" in answer["Cache-Control"]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    assert not answer.cookies


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path",
    [
        "../settings.py",
        "products/nothing.svg",
        "%2e%2e/%2e%2e/etc/passwd",
        "products/",
        "x.html",
        "/etc/x.svg",
    ],
)
def test_only_pictures_are_served_from_the_folder(client: Client, path: str) -> None:
    (default_storage.path("") and default_storage.save("x.html", ContentFile(b"<script>")))
    assert client.get(f"/media/{path}").status_code == 404
