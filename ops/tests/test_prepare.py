"""`manage.py prepare` does each missing step once."""

from pathlib import Path

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from kikaku.sandbox import Sandbox
from ledger.models import DailyClose, JournalEntry, TaxStatus
from ledger.models.tax import FICTIONAL_NUMBER
from ops.jobs import schedule
from ops.management.commands.prepare import ensure_staff_login
from ops.models import JobRun
from shop.models import Product

pytestmark = pytest.mark.django_db


def test_the_staff_login_works_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "var" / "staff-login.txt"
    assert ensure_staff_login(file)
    user, password = file.read_text().split()
    signed_in = authenticate(username=user, password=password)
    assert isinstance(signed_in, User) and signed_in.is_superuser
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_staff_login_is_made_once_and_again_when_its_file_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "staff-login.txt"
    ensure_staff_login(file)
    first = file.read_text()
    assert not ensure_staff_login(file) and file.read_text() == first
    file.unlink()
    assert ensure_staff_login(file) and file.read_text() != first
    assert User.objects.count() == 1


def test_an_empty_development_shop_is_filled_once_and_static_files_are_collected_once(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str], sandbox: Sandbox
) -> None:
    settings.VAR_DIR = tmp_path / "var"
    settings.STATIC_ROOT = tmp_path / "static"
    TaxStatus.objects.all().delete()
    call_command("prepare")
    said = capsys.readouterr().out
    assert "Tax status" in said and "Demo shop" in said and "Static files" in said and "Staff login" in said
    assert Product.objects.count() >= 40
    status = TaxStatus.objects.get()
    assert (status.registration_number, status.fiscal_year_end) == (FICTIONAL_NUMBER, 3)
    years = set(JournalEntry.objects.values_list("fiscal_year", flat=True))
    assert len(years) == 2 and DailyClose.objects.count() == 2
    assert JobRun.objects.get().job == "daily_close"  # so the worker leaves the last days open until tonight
    assert schedule.claim(schedule.JOBS["daily_close"], now=timezone.now()) is None
    call_command("prepare")
    assert capsys.readouterr().out == ""


def test_production_gets_neither_demo_nor_login_nor_tax_status_but_a_word_how_to_make_them(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.VAR_DIR = tmp_path / "var"
    settings.STATIC_ROOT = tmp_path / "static"
    settings.PRODUCTION = True
    call_command("prepare")
    assert not Product.objects.exists() and not User.objects.exists()
    said = capsys.readouterr().out
    assert "python manage.py createsuperuser" in said and "Tax status" not in said
    User.objects.create_superuser("owner")
    TaxStatus.objects.all().delete()
    call_command("prepare")
    said = capsys.readouterr().out
    assert "createsuperuser" not in said and "/admin/ledger/taxstatus/" in said
    assert not TaxStatus.objects.exists()
