"""Where backups are kept: `storages["backups"]`, on this machine's disk or on R2."""

import logging
import re
import tempfile
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.core.files.base import ContentFile, File
from django.core.files.storage import storages

from ops.backup import dump, file

logger = logging.getLogger(__name__)

NAME = re.compile(r"kikaku-\d{8}-\d{6}\.jsonl\.gz(\.age)?")


@dataclass(frozen=True)
class Stored:
    """A backup that was stored."""

    name: str
    sha256: str
    size: int  # bytes


def make(*, now: datetime, show_progress: bool = False) -> Stored:
    """Write a backup, store it with its SHA-256 beside it, delete those that are too old.

    It is whole before it is stored: a name never stands for half a backup. Raises `BackupFailed`,
    and the storage's own errors.
    """
    recipient = file.read_recipient(settings.BACKUP_RECIPIENT) if settings.BACKUP_RECIPIENT else None
    name = f"kikaku-{now:%Y%m%d-%H%M%S}.jsonl.gz" + (".age" if recipient is not None else "")
    with tempfile.TemporaryFile() as whole:

        def emptied() -> object:
            whole.seek(0)
            whole.truncate()
            return whole

        sha256 = dump.write(emptied, now=now, recipient=recipient, show_progress=show_progress)
        size = whole.tell()
        whole.seek(0)
        stored = storages["backups"].save(name, File(whole, name))
    storages["backups"].save(f"{stored}.sha256", ContentFile(f"{sha256}  {stored}\n".encode()))
    retire()
    return Stored(stored, sha256, size)


def names() -> list[str]:
    """Return the names of the stored backups, oldest first."""
    try:
        _folders, found = storages["backups"].listdir("")
    except FileNotFoundError:  # there is no folder before the first one
        return []
    return sorted(name for name in found if NAME.fullmatch(name))


def retire() -> list[str]:
    """Delete all but the newest `settings.BACKUPS_KEPT` backups; return the names of the deleted ones."""
    old = names()[: -settings.BACKUPS_KEPT]
    for name in old:
        try:
            storages["backups"].delete(name)
            storages["backups"].delete(f"{name}.sha256")
        except OSError as error:  # a lock of R2 keeps it: no reason to fail
            logger.warning("the old backup %s could not be deleted: %s", name, error)
    return old
