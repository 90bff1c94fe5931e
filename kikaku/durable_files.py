"""Storages whose files survive a power cut: `save` syncs the file and its folders to the disk."""

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.core.files.storage import FileSystemStorage


class DurableFileStorage(FileSystemStorage):
    """Django's storage on a local disk, whose `save` returns after fsync(2).

    R2 needs none of this: it answers after it has stored the file.
    """

    def _save(self, name: str, content: Any) -> str:
        # Django's hook; its stubs leave it out
        name_saved: str = super()._save(name, content)  # type: ignore[misc]
        root, file = Path(self.location), Path(self.path(name_saved))
        _sync(file)
        for folder in file.parents:  # each holds the entry of the one below it
            _sync(folder)
            if folder == root.parent:
                break
        return name_saved


class WrittenOnceFileStorage(DurableFileStorage):
    """Backups: `save` keeps the name or raises FileExistsError, and leaves no half file on a full disk."""

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """Return the name itself. Raises FileExistsError: a second one beside it would go unseen."""
        if self.exists(name):
            raise FileExistsError(errno.EEXIST, "a file of this name exists", name)
        return name

    def _save(self, name: str, content: Any) -> str:
        # Django's hook, which creates the file exclusively and asks for another name if it is taken
        try:
            return super()._save(name, content)
        except FileExistsError:  # another's: not to be deleted
            raise
        except OSError:
            with suppress(OSError):
                self.delete(name)
            raise


def _sync(path: Path) -> None:
    """Wait until the disk has written this file or folder."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
