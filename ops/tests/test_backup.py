"""A backup has every row of one moment, and comes back equal on every engine."""

import errno
import gzip
import hashlib
import io
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.base import File
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pyrage import x25519
from pytest_django import Settings

from kikaku.d1.testing.engine import running_engine
from kikaku.durable_files import WrittenOnceFileStorage
from kikaku.sandbox import Sandbox
from kikaku.testing import engine_missing
from kikaku.testing.database import engine
from kikaku.testing.object_store import ObjectStore
from ledger.models import Carrier
from ledger.testing import build as sale
from ops.backup import archive, dump, file, load, tables
from ops.backup.file import BackupBroken
from ops.backup.values import decode, encode
from ops.health import duties
from ops.jobs import schedule
from ops.models import JobRun

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 12, 1, 3, tzinfo=UTC)

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(2**63), max_value=2**63 - 1),
    st.text(),
    st.floats(allow_nan=False),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.dates(),
    st.datetimes(timezones=st.just(UTC)),
    st.timedeltas(),
    st.binary(),
    st.dictionaries(st.text(), st.integers()),
)


@given(VALUES)
def test_each_value_comes_back_as_it_was(value: Any) -> None:
    assert decode(json.loads(file.line(encode(value)))) == value


@pytest.mark.parametrize("value", [9007199254740993, -9223372036854775808, float("1e999"), Decimal("1.10")])
def test_numbers_beyond_what_json_readers_keep_survive(value: Any) -> None:
    assert decode(json.loads(file.line(encode(value)))) == value


def written(*, recipient: Any = None) -> bytes:
    """Return the file of a small backup that needs no database."""
    header = {"backup": 1, "made_at": NOW.isoformat(), "release": "", "engine": "sqlite", "migrations": []}
    rows = [file.line([number, f"名前{number}"]) for number in range(500)]

    digest = hashlib.sha256(b"".join(rows)).hexdigest()
    lines = [
        file.line(header),
        file.line({"table": "ledger.Account", "columns": ["code", "name"]}),
        *rows,
        file.line({"end": "ledger.Account", "rows": 500, "sha256": digest, "last_id": 7}),
        file.line({"tables": 1, "rows": 500}),
    ]
    target = io.BytesIO()
    file.write(lines, target, recipient=recipient)
    return target.getvalue()


def test_every_shortened_or_altered_file_is_refused() -> None:
    whole = written()
    assert load.verify(io.BytesIO(whole), identities=[]).rows == 500
    for cut in range(0, len(whole), 101):
        with pytest.raises(BackupBroken):
            load.verify(io.BytesIO(whole[:cut]), identities=[])
    plain = gzip.decompress(whole)
    for place in range(0, len(plain), 997):
        altered = bytearray(plain)
        altered[place] ^= 1
        with pytest.raises(BackupBroken):
            load.verify(io.BytesIO(gzip.compress(bytes(altered), 1)), identities=[])
    later = plain.replace(b'"backup":1,', b'"backup":2,', 1)
    with pytest.raises(BackupBroken, match="format 2"):
        load.verify(io.BytesIO(gzip.compress(later)), identities=[])


def test_an_encrypted_file_needs_its_key_and_no_other() -> None:
    key = x25519.Identity.generate()
    whole = written(recipient=key.to_public())
    assert "名前".encode() not in whole and whole.startswith(b"age-encryption.org/")
    assert load.verify(io.BytesIO(whole), identities=[key]).rows == 500
    with pytest.raises(BackupBroken, match="--identity"):
        load.verify(io.BytesIO(whole), identities=[])
    with pytest.raises(BackupBroken, match="another key"):
        load.verify(io.BytesIO(whole), identities=[x25519.Identity.generate()])
    for cut in range(100, len(whole), 701):
        with pytest.raises(BackupBroken, match="broken off"):
            load.verify(io.BytesIO(whole[:cut]), identities=[key])


class _Full(io.BytesIO):
    """A disk on which nothing more can be written."""

    def write(self, piece: Any, /) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class UnlistedStorage(WrittenOnceFileStorage):
    """A storage that takes files, but does not say which it has."""

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """Fail, as R2 does in an outage."""
        raise OSError(errno.EHOSTUNREACH, "the storage does not answer")


def _broken_off() -> Iterator[bytes]:
    """Yield one line, then what a database says that went away."""
    yield b"[1]\n"
    raise OperationalError("the database went away")


@pytest.mark.parametrize("recipient", [None, x25519.Identity.generate().to_public()], ids=["plain", "age"])
@pytest.mark.parametrize("count", [1, 20_000])
def test_what_cannot_be_written_whole_is_an_error(recipient: Any, count: int) -> None:
    lines = (file.line([hashlib.sha256(b"%d" % number).hexdigest()]) for number in range(count))
    with pytest.raises(OSError, match="No space left"):
        file.write(lines, _Full(), recipient=recipient)
    with pytest.raises(OperationalError, match="went away"):
        file.write(_broken_off(), io.BytesIO(), recipient=recipient)


def test_each_model_is_in_a_backup_or_left_out_for_a_reason() -> None:
    from django.apps import apps

    known = {model._meta.label for model in tables.tables()} | tables.LEFT_OUT
    assert known == {
        model._meta.label
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed and not model._meta.proxy
    }


@pytest.mark.django_db(transaction=True)
def test_a_backup_has_what_was_committed_and_verifies(sandbox: Sandbox, settings: Settings) -> None:
    order = sale.paid_order(sandbox)
    stored = archive.make(now=NOW)
    assert stored.name == "kikaku-20261201-030000.jsonl.gz"
    with storages["backups"].open(stored.name) as source:
        content = source.read()
    contents = load.verify(io.BytesIO(content), identities=[])
    counts = {table.label: table.rows for table in contents.tables}
    assert counts["ledger.Order"] == 1 and counts["ledger.Payment"] == 1
    assert order.number.encode() in gzip.decompress(content)
    beside = storages["backups"].open(f"{stored.name}.sha256").read().decode()
    assert beside == f"{stored.sha256}  {stored.name}\n"


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(engine() != "sqlite", reason="SQLite alone has a WAL and one writer")
def test_a_backup_while_a_writer_holds_the_lock_has_the_last_committed_order(sandbox: Sandbox) -> None:
    sale.order()
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            cursor.execute("DELETE FROM ledger_orderline")
            stored = archive.make(now=NOW)
            cursor.execute("ROLLBACK")
    finally:
        other.close()
    with storages["backups"].open(stored.name) as source:
        contents = load.verify(source, identities=[])
    assert {table.label: table.rows for table in contents.tables}["ledger.OrderLine"] > 0


@pytest.mark.django_db(transaction=True)
def test_the_newest_backups_are_kept(settings: Settings) -> None:
    settings.BACKUPS_KEPT = 2
    for day in range(4):
        archive.make(now=NOW + timedelta(days=day))
    kept = [f"kikaku-202612{day:02}-030000.jsonl.gz" for day in (3, 4)]
    assert archive.names() == kept
    folder = Path(storages["backups"].path(""))
    assert {path.name for path in folder.iterdir()} == {*kept, *(f"{name}.sha256" for name in kept)}


@pytest.mark.django_db(transaction=True)
def test_a_clean_up_that_fails_is_a_warning_and_the_backup_counts(
    settings: Settings, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    settings.STORAGES = settings.STORAGES | {
        "backups": {
            "BACKEND": "ops.tests.test_backup.UnlistedStorage",
            "OPTIONS": {"location": tmp_path / "unlisted"},
        }
    }
    stored = archive.make(now=NOW)
    with storages["backups"].open(stored.name) as source:
        assert load.verify(source, identities=[]).rows > 0
    assert storages["backups"].exists(f"{stored.name}.sha256")
    assert "the old backups could not be deleted: [Errno 113] the storage does not answer" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_a_second_backup_of_the_same_second_is_refused_and_the_first_one_stays() -> None:
    stored = archive.make(now=NOW)
    folder = Path(storages["backups"].path(""))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(FileExistsError):
        archive.make(now=NOW)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert archive.names() == [stored.name]


@pytest.mark.django_db(transaction=True)
def test_half_a_backup_takes_no_place_of_a_whole_one(settings: Settings) -> None:
    settings.BACKUPS_KEPT = 2
    folder = Path(storages["backups"].path(""))
    archive.make(now=NOW)
    for day in (1, 2, 4):  # what a power cut leaves
        (folder / f"kikaku-202612{day:02}-040000.jsonl.gz").write_bytes(b"half")
    archive.make(now=NOW + timedelta(days=2))
    assert archive.names() == [f"kikaku-202612{day:02}-030000.jsonl.gz" for day in (1, 3)]
    archive.make(now=NOW + timedelta(days=4))
    assert archive.names() == [f"kikaku-202612{day:02}-030000.jsonl.gz" for day in (3, 5)]
    assert [path.name for path in folder.glob("*-040000*")] == ["kikaku-20261204-040000.jsonl.gz"]


@pytest.mark.django_db(transaction=True)
def test_a_full_disk_keeps_no_half_backup() -> None:
    folder = Path(storages["backups"].path(""))
    folder.mkdir(parents=True, exist_ok=True)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    received = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    whole = tempfile.TemporaryFile()  # noqa: SIM115  (closed below)
    whole.write(os.urandom(300_000))
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        with pytest.raises(OSError, match="File too large"):
            storages["backups"].save("kikaku-20261201-030000.jsonl.gz", File(whole))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, received)
        whole.close()
    assert list(folder.iterdir()) == []


@pytest.mark.django_db(transaction=True)
def test_backups_lie_in_the_private_bucket(files_on_r2: ObjectStore, settings: Settings) -> None:
    key = x25519.Identity.generate()
    settings.BACKUP_RECIPIENT = str(key.to_public())
    stored = archive.make(now=NOW)
    assert stored.name.endswith(".age")
    with storages["backups"].open(stored.name) as source:
        assert load.verify(source, identities=[key]).rows > 0


@pytest.mark.django_db(transaction=True)
def test_a_database_with_rows_is_refused_and_unchanged(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "backup.jsonl.gz"
    with path.open("wb") as target:
        dump.write(lambda: target, now=NOW)
    sale.order()
    before = dump.fingerprint(now=NOW)
    with pytest.raises(CommandError, match="not empty"):
        call_command("restore", str(path))
    assert dump.fingerprint(now=NOW) == before


@pytest.mark.django_db(transaction=True)
def test_what_staff_changed_in_a_table_that_migrations_fill_is_not_overwritten(
    admin_client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "backup.jsonl.gz"
    User.objects.all().delete()
    with path.open("wb") as target:
        dump.write(lambda: target, now=NOW)
    User.objects.create_superuser("clerk")
    Carrier.objects.filter(pk=Carrier.objects.earliest("pk").pk).update(name="自社便")
    with pytest.raises(CommandError, match=r"not empty: auth\.User"):
        call_command("restore", str(path))
    assert Carrier.objects.filter(name="自社便").exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", [OperationalError("the connection broke"), KeyboardInterrupt()])
def test_a_backup_that_breaks_off_leaves_its_run_to_the_next_one(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def broken(**_: Any) -> None:
        raise error

    with monkeypatch.context() as patch, pytest.raises((CommandError, KeyboardInterrupt)):
        patch.setattr(archive, "make", broken)
        call_command("backup")
    assert JobRun.objects.get().succeeded is False
    call_command("backup")
    assert JobRun.objects.get().succeeded is True


@pytest.mark.django_db(transaction=True)
def test_a_backup_made_by_hand_is_this_weeks(sandbox: Sandbox) -> None:
    now = timezone.now()
    JobRun.objects.create(
        job="backup",
        scheduled_for=now - timedelta(days=20),
        claimed_until=now,
        started_at=now - timedelta(days=20),
        finished_at=now - timedelta(days=20),
        succeeded=True,
    )
    assert duties.last_backup_if_old(now=now) is not None
    call_command("backup")
    assert duties.last_backup_if_old(now=now) is None
    run = JobRun.objects.latest("started_at")
    assert (run.succeeded, run.scheduled_for) == (True, schedule.last_backup_time(run.started_at))
    assert schedule.run("backup") is False  # this week's is done
    call_command("verify_backup", str(Path(storages["backups"].path(archive.names()[-1]))))


@pytest.mark.parametrize(
    ("now", "slot"),
    [
        (datetime(2026, 12, 6, 17, 59, tzinfo=UTC), date(2026, 11, 29)),
        (datetime(2026, 12, 6, 18, 0, tzinfo=UTC), date(2026, 12, 6)),
        (datetime(2026, 12, 9, 3, 0, tzinfo=UTC), date(2026, 12, 6)),
    ],
)
def test_the_weekly_backup_is_due_on_sunday_after_the_close(now: datetime, slot: date) -> None:
    at = schedule.last_backup_time(now)
    assert (at.date(), at.hour) == (slot, 18)


# ── All pairs of engines ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[dict[str, str]]]]:
    """Return the variables of two empty databases of each engine."""
    sys.path.insert(0, str(ROOT / "scripts"))
    from postgres import NoPostgres, temporary_server

    folder = tmp_path_factory.mktemp("engines")
    with ExitStack() as stack:
        try:
            url = stack.enter_context(temporary_server())
        except NoPostgres as error:
            engine_missing(str(error))
        d1 = stack.enter_context(running_engine(["one", "two"]))
        import psycopg

        with psycopg.connect(url, autocommit=True) as server:
            server.execute("CREATE DATABASE one")
            server.execute("CREATE DATABASE two")
        yield {
            "sqlite": [{"DATABASE_URL": f"sqlite:///{folder / name}.sqlite3"} for name in ("one", "two")],
            "postgresql": [
                {"DATABASE_URL": url.removesuffix("/postgres") + f"/{name}"} for name in ("one", "two")
            ],
            "d1": [d1.environment(name) for name in ("one", "two")],
        }


def manage(folder: Path, database: dict[str, str], *arguments: str) -> str:
    """Run a management command on a database; return what it printed."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("STRIPE_")},
            "ENVIRONMENT": "development",
            "DJANGO_SETTINGS_MODULE": "ops.testing.settings",
            "KIKAKU_TEST_ROOT": str(folder),
            **database,
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


def backed_up(folder: Path, database: dict[str, str]) -> Path:
    """Return the file of a new backup of a database."""
    before = set(folder.glob("backups/*.gz"))
    manage(folder, database, "backup")
    [made] = set(folder.glob("backups/*.gz")) - before
    return made


def body(path: Path) -> bytes:
    """Return the rows, their hashes and last ids: all but the header."""
    return gzip.decompress(path.read_bytes()).partition(b"\n")[2]


@pytest.mark.engine_independent
@pytest.mark.xdist_group("backup-pairs")
def test_a_backup_comes_back_equal_between_all_pairs_of_engines(
    tmp_path: Path, databases: dict[str, list[dict[str, str]]]
) -> None:
    first = databases["sqlite"][0]
    manage(tmp_path, first, "migrate", "-v0")
    manage(tmp_path, first, "demo")
    manage(tmp_path, first, "demo", "--tax-status")
    manage(tmp_path, first, "demo", "--orders", "20")
    manage(tmp_path, first, "daily_close")
    path = backed_up(tmp_path, first)
    expected = body(path)
    for name, number in (("postgresql", 0), ("d1", 0), ("postgresql", 1), ("sqlite", 1), ("d1", 1)):
        target = databases[name][number]
        manage(tmp_path, target, "migrate", "-v0")
        assert "The books are clean" in manage(tmp_path, target, "restore", str(path))
        path = backed_up(tmp_path, target)
        assert body(path) == expected, f"{name} {number}"
    # and back from D1 to SQLite, whose next order gets the next id
    (tmp_path / "last").mkdir()
    last = {"DATABASE_URL": f"sqlite:///{tmp_path / 'last' / 'kikaku.sqlite3'}"}
    manage(tmp_path, last, "migrate", "-v0")
    manage(tmp_path, last, "restore", str(path))
    assert body(backed_up(tmp_path, last)) == expected
