"""Files that survive a power cut: a disk has them, and the folders that name them, before anybody relies on them."""

import os
from pathlib import Path
from typing import Any

from django.core.files.storage import FileSystemStorage


class DurableFileStorage(FileSystemStorage):
    """Django's storage on a local disk, whose `save` returns when the disk has the file (fsync(2)).

    R2 answers only when it has put a file away, and needs none of this.
    """

    def _save(self, name: str, content: Any) -> str:
        saved: str = super()._save(name, content)  # type: ignore[misc]  # Django's hook; its stubs leave it out
        root, file = Path(self.location), Path(self.path(saved))
        _wait_for_disk(file)
        for folder in file.parents:  # each names the one below it
            _wait_for_disk(folder)
            if folder == root.parent:
                break
        return saved


def _wait_for_disk(path: Path) -> None:
    """Return when the disk has this file or folder."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
