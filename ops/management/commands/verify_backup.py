"""`manage.py verify_backup FILE`: read a backup whole, without a database."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ops.backup import file, load
from ops.backup.file import BackupBroken


class Command(BaseCommand):
    """Decrypt, unpack, count and hash everything; print what the backup has."""

    help = (
        "Read a backup back without a database. Example: manage.py verify_backup kikaku-….jsonl.gz, or, "
        "if it is encrypted, with --identity key.txt. Exit code 1: it is broken, altered or needs a key."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        add_file_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Verify it. Raises `CommandError`."""
        try:
            with options["file"].open("rb") as source:
                contents = load.verify(source, identities=identities(options["identity"]))
        except (BackupBroken, OSError) as error:
            raise CommandError(str(error)) from error
        for table in contents.tables:
            if table.rows:
                self.stdout.write(f"{table.rows:>10,}  {table.label}")
        header = contents.header
        self.stdout.write(
            f"{contents.rows:>10,}  rows in {len(contents.tables)} tables, of {header['made_at']}, "
            f"from {header['engine']}: complete and unaltered"
        )


def add_file_arguments(parser: CommandParser) -> None:
    """Add the file and its key; `restore` takes the same."""
    parser.add_argument("file", type=Path, help="the backup, on this machine")
    parser.add_argument("--identity", type=Path, help="the file with the age secret key (age-keygen's)")


def identities(path: Path | None) -> list[file.Identity]:
    """Return the secret keys of a file, none without one. Raises `BackupBroken`."""
    return file.read_identities(path) if path is not None else []
