"""`manage.py backup`: write every table into one file, on this machine or R2."""

import logging
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.utils import timezone

from kikaku.alerts import alert_over
from ops.backup import archive
from ops.backup.dump import BackupFailed
from ops.jobs import schedule

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    """Write a backup and print its name, size and SHA-256."""

    help = (
        "Write every table, as of one moment, into one file: on R2 if it is set up, else in var/backups. "
        "Encrypted if BACKUP_RECIPIENT is set. It counts as this week's. Example: manage.py backup. "
        "Exit code 1: none was written."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Write it. Raises `CommandError`."""
        now = timezone.now()
        run = schedule.claim(schedule.JOBS["backup"], now=now)  # None if this week's is done, or being made
        try:
            stored = archive.make(now=now, show_progress=True)
        except BaseException as error:  # Ctrl-C, too: else the run stays claimed for two hours
            if run is not None:
                schedule.finish(run, succeeded=False, message=str(error), now=timezone.now())
            if isinstance(error, BackupFailed | DatabaseError | OSError):
                raise CommandError(f"No backup was written: {error}") from error
            raise
        if run is not None:
            schedule.finish(run, succeeded=True, message=schedule.outcome_of(stored), now=timezone.now())
        logger.info("the backup %s is written", stored.name, extra=alert_over("backup_failed"))
        self.stdout.write(f"{stored.name}  {stored.size:,} bytes\nSHA-256 {stored.sha256}")
        if not stored.name.endswith(".age"):
            self.stderr.write("It is not encrypted: set BACKUP_RECIPIENT.")
