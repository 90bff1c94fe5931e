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

    It counts once its SHA-256 lies beside it, which is written last: a full disk or a power cut may leave
    half a file under its name. A name that is taken is refused. Raises `BackupFailed`, and the storage's own
    errors; none once the backup is stored.
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
    try:
        retire()
    except Exception as error:  # the new backup is stored, whatever becomes of the old ones
        logger.warning("the old backups could not be deleted: %s", error)
    return Stored(stored, sha256, size)


def _files() -> set[str]:
    """Return the names of all files beside the backups, and theirs."""
    try:
        _folders, found = storages["backups"].listdir("")
    except FileNotFoundError:  # there is no folder before the first one
        return set()
    return set(found)


def names() -> list[str]:
    """Return the names of the stored backups, oldest first; none that was not stored whole."""
    found = _files()
    return sorted(name for name in found if NAME.fullmatch(name) and f"{name}.sha256" in found)


def retire() -> list[str]:
    """Delete all but the newest `settings.BACKUPS_KEPT` backups; return the names of the deleted ones.

    What was not stored whole is not counted, and goes with those of its time.
    """
    kept = names()[-settings.BACKUPS_KEPT :]
    old = sorted(name for name in _files() if NAME.fullmatch(name) and kept and name < kept[0])
    for name in old:
        try:
            storages["backups"].delete(name)
            storages["backups"].delete(f"{name}.sha256")
        except OSError as error:  # a lock of R2 keeps it: no reason to fail
            logger.warning("the old backup %s could not be deleted: %s", name, error)
    return old
