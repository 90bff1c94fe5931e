"""What is put away must be on the disk before anybody relies on it."""

import errno
import os
import resource
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from django.core.files.base import ContentFile

from kikaku import settings as configured
from kikaku.durable_files import DurableFileStorage


class Disk:
    """Sees each call of fsync, as strace would, and how long the file was by then; 0 for a folder."""

    def __init__(self) -> None:
        self.synced: list[tuple[Path, int]] = []

    def __enter__(self) -> "Disk":
        sys.setprofile(self._look)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _look(self, frame: FrameType, event: str, called: Any) -> None:
        if event == "c_call" and called is os.fsync:
            path = Path(f"/proc/self/fd/{frame.f_locals['opened']}").readlink()
            self.synced.append((path, path.stat().st_size if path.is_file() else 0))


@pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="needs Linux's /proc to see which file is synced"
)
def test_a_saved_file_and_every_folder_that_names_it_are_on_the_disk(tmp_path: Path) -> None:
    root = tmp_path / "evidence"
    with Disk() as disk:
        DurableFileStorage(location=root).save("day/1/manifest.json", ContentFile(b"12345"))
    assert disk.synced == [
        (root / "day/1/manifest.json", 5),
        (root / "day/1", 0),
        (root / "day", 0),
        (root, 0),
        (tmp_path, 0),
    ]


def test_a_file_that_the_disk_has_no_room_for_is_an_error_and_not_a_shorter_file(tmp_path: Path) -> None:
    storage = DurableFileStorage(location=tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
    try:
        with pytest.raises(OSError) as refused:
            storage.save("report.json", ContentFile(b"x" * 5_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert refused.value.errno == errno.EFBIG
    assert DurableFileStorage(location=tmp_path).save("next.json", ContentFile(b"x" * 5_000)) == "next.json"


def test_evidence_on_a_local_disk_is_put_away_so() -> None:
    backend = DurableFileStorage.__module__ + "." + DurableFileStorage.__qualname__
    assert configured.STORAGES["evidence"]["BACKEND"] == backend
