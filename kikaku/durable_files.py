"""Storage whose files survive a power cut: `save` syncs the file and its folders to the disk."""

import os
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


def _sync(path: Path) -> None:
    """Wait until the disk has written this file or folder."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
