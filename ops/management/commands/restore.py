"""`manage.py restore FILE`: write a backup into an empty database, of whatever engine."""

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from ops.backup import dump, load
from ops.backup.file import BackupBroken
from ops.backup.load import RestoreRefused
from ops.management.commands.verify_backup import add_file_arguments, identities


class Command(BaseCommand):
    """Restore, then verify the books."""

    help = (
        "Restore a backup into an empty, migrated database and verify the books. "
        "Example: DATABASE_URL=postgres://… manage.py migrate, then manage.py restore kikaku-….jsonl.gz. "
        "Exit code 1: nothing was restored, or the books are not in order."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        add_file_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Restore it. Raises `CommandError`."""
        try:
            keys = identities(options["identity"])
            contents = load.restore(options["file"], identities=keys, show_progress=True)
        except (BackupBroken, RestoreRefused) as error:
            raise CommandError(f"Not restored: {error}") from error
        except (DatabaseError, OSError) as error:
            raise CommandError(f"Not restored: {error}{self._rest()}") from error
        self.stdout.write(f"{contents.rows:,} rows of {len(contents.tables)} tables restored.")
        call_command("verify_books", stdout=self.stdout)

    @staticmethod
    def _rest() -> str:
        """Return what to do with what was written; "" where all of it was one transaction."""
        if dump.engine() != "d1":
            return ""
        return " The database may hold a part of the backup: do not use it, and restore into a new one."
