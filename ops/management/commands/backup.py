"""`manage.py backup`: write every table into one file, on this machine or R2."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from ops.backup import archive
from ops.backup.dump import BackupFailed


class Command(BaseCommand):
    """Write a backup and print its name, size and SHA-256."""

    help = (
        "Write every table, as of one moment, into one file: on R2 if it is set up, else in var/backups. "
        "Encrypted if BACKUP_RECIPIENT is set. Example: manage.py backup. Exit code 1: none was written."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Write it. Raises `CommandError`."""
        try:
            stored = archive.make(now=timezone.now(), show_progress=True)
        except (BackupFailed, OSError) as error:
            raise CommandError(f"No backup was written: {error}") from error
        self.stdout.write(f"{stored.name}  {stored.size:,} bytes\nSHA-256 {stored.sha256}")
        if not stored.name.endswith(".age"):
            self.stderr.write("It is not encrypted: set BACKUP_RECIPIENT.")
