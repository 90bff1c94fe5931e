"""A stored file is on the disk when `save` returns."""

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
from kikaku.durable_files import DurableFileStorage, WrittenOnceFileStorage


class SyncRecorder:
    """Records each call of fsync: the path and the file's size at that time; 0 for a folder."""

    def __init__(self) -> None:
        self.synced: list[tuple[Path, int]] = []

    def __enter__(self) -> "SyncRecorder":
        sys.setprofile(self._record)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _record(self, frame: FrameType, event: str, called: Any) -> None:
        if event == "c_call" and called is os.fsync:
            path = Path(f"/proc/self/fd/{frame.f_locals['opened']}").readlink()
            self.synced.append((path, path.stat().st_size if path.is_file() else 0))


@pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="needs Linux's /proc to see which file is synced"
)
def test_a_saved_file_and_all_its_folders_are_synced(tmp_path: Path) -> None:
    root = tmp_path / "evidence"
    with SyncRecorder() as recorder:
        DurableFileStorage(location=root).save("day/1/manifest.json", ContentFile(b"12345"))
    assert recorder.synced == [
        (root / "day/1/manifest.json", 5),
        (root / "day/1", 0),
        (root / "day", 0),
        (root, 0),
        (tmp_path, 0),
    ]


def test_a_file_without_room_on_the_disk_is_an_error_not_a_truncated_file(tmp_path: Path) -> None:
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


def test_evidence_on_a_local_disk_uses_this_storage() -> None:
    backend = DurableFileStorage.__module__ + "." + DurableFileStorage.__qualname__
    assert configured.STORAGES["evidence"]["BACKEND"] == backend


def test_backups_on_a_local_disk_are_written_once() -> None:
    backend = WrittenOnceFileStorage.__module__ + "." + WrittenOnceFileStorage.__qualname__
    assert configured.STORAGES["backups"]["BACKEND"] == backend


def test_a_file_that_another_process_began_meanwhile_is_refused_and_kept(tmp_path: Path) -> None:
    storage = WrittenOnceFileStorage(location=tmp_path)
    free = storage.get_available_name("backup.gz")
    (tmp_path / "backup.gz").write_bytes(b"theirs")  # after the name was found free
    with pytest.raises(FileExistsError):
        storage._save(free, ContentFile(b"ours"))
    assert (tmp_path / "backup.gz").read_bytes() == b"theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["backup.gz"]
