"""Static files are served, and what is beside them for the server alone is not."""

from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings

from shop.testing import build

pytestmark = pytest.mark.django_db


@pytest.fixture
def prepared(settings: Settings, tmp_path: Path) -> Path:
    """Collect the shop's static files as `manage.py prepare` does; return the folder."""
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    settings.STATIC_ROOT = tmp_path / "static"
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    }
    settings.PRODUCTION = True
    call_command("prepare")
    build.content_page()
    return tmp_path / "static"


def test_the_manifest_and_the_fingerprint_of_static_files_are_not_served(prepared: Path) -> None:
    files = {str(file.relative_to(prepared)) for file in prepared.rglob("*") if file.is_file()}
    private = {"staticfiles.json", ".fingerprint"}
    assert private < files
    client = Client()
    statuses = {name: client.get(f"/static/{name}").status_code for name in files}
    assert {
        name for name, status in statuses.items() if status == 404 and name[-3:] not in (".gz", ".br")
    } == private
    assert set(statuses.values()) == {200, 404}


def test_every_response_denies_what_no_page_uses(prepared: Path) -> None:
    build.product()
    for path in ("/", "/none/", "/health", "/admin/", "/static/shop/favicon.svg"):
        policy = Client().get(path)["Permissions-Policy"]
        assert {"camera=()", "geolocation=()", "microphone=()", "payment=()"} <= set(policy.split(", "))
