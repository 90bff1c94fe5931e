"""Files on R2, against an S3 server that checks signatures, expiry and `If-None-Match`."""

import http.client
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.files.base import ContentFile, File
from django.utils.module_loading import import_string

from kikaku.object_storage import StorageRefused, StorageUnavailable
from kikaku.storages import storages
from kikaku.testing.object_store import PRIVATE, PUBLIC, ObjectStore, Wire, running_object_store

pytestmark = pytest.mark.engine_independent
Make = Callable[..., Any]


@pytest.fixture
def make(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Make:
    """Return a function that makes the storage of an alias as the settings do."""

    def made(alias: str, *, store: ObjectStore = object_store, seconds: int = 300, **given: str) -> Any:
        variables = store.variables(**given)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        found = storages(
            variables["R2_ENDPOINT_URL"],
            variables["R2_PUBLIC_URL"],
            evidence_root=tmp_path,
            backup_root=tmp_path,
            link_seconds=seconds,
        )[alias]
        return import_string(found["BACKEND"])(**found["OPTIONS"])

    return made


def fetch(link: str) -> tuple[int, bytes, dict[str, str]]:
    """GET an address as a browser does, without any header of S3."""
    address = urlsplit(link)
    connection = http.client.HTTPConnection(address.netloc, timeout=10)
    connection.request("GET", f"{address.path}?{address.query}")
    answer = connection.getresponse()
    return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}


def test_a_file_is_stored_read_listed_and_deleted(make: Make) -> None:
    files = make("evidence")
    assert not files.exists("day/1/report.json")
    assert files.save("day/1/report.json", ContentFile(b"12345")) == "day/1/report.json"
    assert files.save("day/1/note.txt", ContentFile("日本語")) == "day/1/note.txt"
    with files.open("day/1/report.json") as file:
        assert file.read() == b"12345"
    assert (files.size("day/1/report.json"), files.exists("day/1/report.json")) == (5, True)
    assert files.listdir("day/1")[1] == ["note.txt", "report.json"]
    files.delete("day/1/report.json")
    files.delete("day/1/report.json")
    with pytest.raises(FileNotFoundError):
        files.open("day/1/report.json")
    with files.open("day/1/note.txt") as file:
        assert file.read().decode() == "日本語"


@pytest.mark.parametrize("size", [0, 5, 70_000])
def test_a_file_that_has_no_name_on_a_disk_is_stored_whole(make: Make, size: int) -> None:
    with SpooledTemporaryFile(max_size=1_000) as spooled:
        spooled.write(b"x" * size)
        files = make("backups")
        files.save("rows.gz", File(spooled))
    assert files.size("rows.gz") == size


def test_a_private_file_is_never_overwritten_and_the_same_content_is_no_error(make: Make) -> None:
    files = make("evidence")
    files.save("manifest.json", ContentFile(b"first"))
    assert files.save("manifest.json", ContentFile(b"first")) == "manifest.json"
    for other in (b"second", b"firs", b"first and more", b""):
        with pytest.raises(FileExistsError, match="other content"):
            files.save("manifest.json", ContentFile(other))
    with files.open("manifest.json") as file:
        assert file.read() == b"first"
    assert files.listdir("")[1] == ["manifest.json"]


def test_backups_are_in_the_private_bucket_below_their_folder(make: Make, object_store: ObjectStore) -> None:
    make("backups").save("2026-12-01.gz", ContentFile(b"rows"))
    assert make("backups").listdir("")[1] == ["2026-12-01.gz"]
    listed = object_store.client().list_objects_v2(Bucket=PRIVATE)["Contents"]
    assert [item["Key"] for item in listed] == ["backups/2026-12-01.gz"]


def test_a_picture_has_the_public_address_and_is_cached_forever(
    make: Make, object_store: ObjectStore
) -> None:
    files = make("default")
    name = files.save("products/x.webp", ContentFile(b"picture"))
    assert files.url(name) == "https://files.example.jp/products/x.webp"
    stored = object_store.client().head_object(Bucket=PUBLIC, Key=name)
    assert stored["CacheControl"] == "public, max-age=31536000, immutable"
    assert stored["ContentType"] == "image/webp"
    assert files.save("products/x.webp", ContentFile(b"another")) != name


def test_what_goes_over_the_wire_has_no_checksum_of_boto3_and_no_acl(
    make: Make, object_store: ObjectStore
) -> None:
    with Wire(object_store.port) as wire:
        for alias in ("evidence", "default"):
            files = make(alias, endpoint=wire.endpoint)
            name = files.save("a.bin", ContentFile(b"x" * 200_000))
            with files.open(name) as file:
                assert len(file.read()) == 200_000
            files.listdir("")
            files.delete(name)
        sent = bytes(wire.sent).lower()
    assert sent.count(b"put /") == 2 and sent.count(b"if-none-match: *") == 2
    for forbidden in (
        b"aws-chunked",
        b"x-amz-checksum",
        b"x-amz-sdk-checksum",
        b"x-amz-trailer",
        b"x-amz-acl",
    ):
        assert forbidden not in sent
    assert b"streaming-" not in sent


def test_a_wrong_key_is_named_not_a_checksum(make: Make) -> None:
    files = make("evidence", secret="wrong")
    attempts: list[Callable[[], object]] = [
        lambda: files.save("a.txt", ContentFile(b"x")),
        lambda: files.open("a.txt"),
        lambda: files.exists("a.txt"),
        lambda: files.listdir(""),
        lambda: files.delete("a.txt"),
    ]
    for attempt in attempts:
        with pytest.raises(StorageRefused, match="R2_SECRET_ACCESS_KEY") as refused:
            attempt()
        assert "checksum" not in str(refused.value).lower()
        assert "wrong" not in str(refused.value)


def test_a_signed_link_opens_in_a_browser_and_grows_old(make: Make, object_store: ObjectStore) -> None:
    files = make("evidence", seconds=1)
    files.save("day/journal.csv", ContentFile(b"1,2,3"))
    link = files.download_link("day/journal.csv", filename="journal.csv", content_type="text/csv")
    status, body, headers = fetch(link)
    assert (status, body) == (200, b"1,2,3")
    assert headers["content-disposition"] == 'attachment; filename="journal.csv"'
    assert urlsplit(link).netloc == urlsplit(object_store.endpoint).netloc
    known = {name.lower(): value for name, value in parse_qs(urlsplit(link).query).items()}
    assert "x-amz-checksum-mode" not in known and known["x-amz-expires"] == ["1"]
    deadline = time.monotonic() + 10
    while fetch(link)[0] == 200 and time.monotonic() < deadline:
        time.sleep(0.3)
    assert fetch(link)[0] == 403
    plain = link.partition("?")[0]
    assert fetch(plain)[0] == 403


def test_an_upload_that_breaks_off_leaves_no_half_file(make: Make, object_store: ObjectStore) -> None:
    content = b"x" * 3_000_000
    with Wire(object_store.port) as wire:
        files = make("evidence", endpoint=wire.endpoint)
        wire.cut_after = 1_000_000
        with pytest.raises(StorageUnavailable):
            files.save("big.bin", ContentFile(content))
        assert not make("evidence").exists("big.bin")
        wire.cut_after = None
        assert files.save("big.bin", ContentFile(content)) == "big.bin"
    assert make("evidence").size("big.bin") == len(content)


def test_a_lost_answer_does_not_make_the_retry_fail(make: Make, object_store: ObjectStore) -> None:
    with Wire(object_store.port) as wire:
        wire.drop_answers = 1
        assert make("evidence", endpoint=wire.endpoint).save("a.txt", ContentFile(b"x")) == "a.txt"
        assert bytes(wire.sent).count(b"PUT /") == 2


@pytest.mark.nightly  # 16 s: it starts a server twice
def test_a_server_that_is_killed_comes_back_with_all_that_was_stored(make: Make, tmp_path: Path) -> None:
    with running_object_store(tmp_path) as store:
        files = make("evidence", store=store)
        files.save("before.txt", ContentFile(b"kept"))
        store.kill()
        with pytest.raises(StorageUnavailable):
            files.save("during.txt", ContentFile(b"x"))
        with pytest.raises(StorageUnavailable):
            files.exists("before.txt")
        store.start()
        deadline = time.monotonic() + 30
        while True:
            try:
                files.save("during.txt", ContentFile(b"x"))
                break
            except StorageUnavailable:
                assert time.monotonic() < deadline
        with files.open("before.txt") as file:
            assert file.read() == b"kept"
