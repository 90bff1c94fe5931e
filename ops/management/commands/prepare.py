"""`manage.py prepare`: do what a start needs and has not been done yet. `make run` calls it."""

import hashlib
import os
import secrets
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.urls import reverse
from django.utils import timezone

from ledger.models import Order, TaxStatus
from ledger.stripe.client import foreign_account
from ops.jobs import schedule

STAFF_USERNAME = "staff"


def static_fingerprint() -> str:
    """Return a hash over path, size and modification time of each static source file."""
    digest = hashlib.sha256()
    for finder in get_finders():
        for path, storage in sorted(finder.list([]), key=lambda found: str(found[0])):
            stat = Path(storage.path(path)).stat()
            digest.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def ensure_staff_login(file: Path) -> bool:
    """Create the development login and write its password into `file`, mode 600, unless both exist.

    Return whether it did.
    """
    users = get_user_model().objects
    if file.exists() and users.filter(username=STAFF_USERNAME).exists():
        return False
    password = secrets.token_urlsafe(9)
    user, _created = users.get_or_create(username=STAFF_USERNAME, defaults={"email": "staff@example.jp"})
    user.is_staff = user.is_superuser = user.is_active = True
    user.set_password(password)
    user.save()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(f"{STAFF_USERNAME}\n{password}\n")
    return True


def leave_days_open() -> None:
    """Count last night's close as done, so that `manage.py demo --orders` still finds open days.

    The worker closes those since the demo's year end in the coming night.
    """
    now = timezone.now()
    run = schedule.claim(schedule.JOBS["daily_close"], now=now)
    if run is not None:
        schedule.finish(run, succeeded=True, message="", now=now)


class Command(BaseCommand):
    """Migrate and collect static files; in development also write the demo shop and the staff login."""

    help = "Bring database, static files, demo shop and staff login up to date; does only what is missing."

    def report(self, text: str) -> None:
        """Print one line and flush it."""
        self.stdout.write(text)
        self.stdout.flush()

    def handle(self, *args: Any, **options: Any) -> None:
        """Run each step that is due."""
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if pending:
            self.report(f"Database: {len(pending)} migrations …")
            call_command("migrate", interactive=False, verbosity=0)
        if settings.STRIPE_SECRET_KEY and (reason := foreign_account()):
            raise CommandError(reason)
        self.collect_static()
        if settings.PRODUCTION:
            if not get_user_model().objects.filter(is_staff=True).exists():
                self.report("Staff login: none yet. Make one with: python manage.py createsuperuser")
            if not TaxStatus.objects.exists():
                page = settings.STOREFRONT_BASE_URL + reverse("admin:ledger_taxstatus_changelist")
                self.report(f"Tax status: none yet; the shop takes no orders. Enter it at {page}")
            return
        if not TaxStatus.objects.exists():
            call_command("demo", tax_status=True, stdout=self.stdout)
        if not apps.get_model("shop", "Product")._default_manager.exists():
            self.report("Demo shop: drawing the lamps …")
            is_new = settings.DEMO_YEAR_END and not Order.objects.exists()
            call_command("demo", year_end=is_new)
            if is_new:
                leave_days_open()
        if ensure_staff_login(settings.VAR_DIR / "staff-login.txt"):
            self.report("Staff login: made.")

    def collect_static(self) -> None:
        """Hash and compress static files if one of them has changed since the last run."""
        root = Path(str(settings.STATIC_ROOT))
        marker = root / ".fingerprint"
        fingerprint = static_fingerprint()
        if marker.exists() and marker.read_text() == fingerprint:
            return
        self.report("Static files: hashing and compressing …")
        call_command("collectstatic", interactive=False, verbosity=0, clear=True)
        marker.write_text(fingerprint)
