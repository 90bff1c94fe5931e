"""`GET /health`: whether this process can serve: the door's threads, the database, the evidence storage.

Database and storage are written too, at most twice a minute: a full disk still answers readers.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, storages
from django.db import Error, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from kikaku.door import Door

logger = logging.getLogger(__name__)
PROBE_SECONDS = 30.0  # how long the result of a write is kept
LOCK_SECONDS = 0.2  # for SQLite's lock; whoever holds it longer proves that it can be written

WRITE_SQL = """
INSERT INTO ops_heartbeat (name, beat_at, started_at) VALUES ('web', %s, %s)
ON CONFLICT (name) DO UPDATE SET beat_at = excluded.beat_at
"""


class Probe:
    """A check whose result is kept for a while; while a thread repeats it, others get the last result."""

    def __init__(
        self, check: Callable[[], bool], *, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.check = check
        self.seconds = seconds
        self.clock = clock
        self._checking = threading.Lock()
        self._result: bool | None = None
        self._checked_at = 0.0

    def __call__(self) -> bool:
        """Return the result, at most `seconds` old unless another thread is checking right now."""
        if self._result is not None and self.clock() - self._checked_at < self.seconds:
            return self._result
        if not self._checking.acquire(blocking=self._result is None):
            return bool(self._result)
        try:
            self._result = self.check()
            self._checked_at = self.clock()
            return self._result
        finally:
            self._checking.release()


def check_evidence_storage() -> bool:
    """Return whether the evidence storage works.

    On a disk a file is written, read and deleted; on R2, whose locks forbid deletion, a name is looked up.
    """
    storage = storages["evidence"]
    name = f"health/{os.getpid()}-{threading.get_ident()}"
    try:
        if not isinstance(storage, FileSystemStorage):
            storage.exists("health")  # 404 is an answer; any other failure raises
            return True
        written = storage.save(name, ContentFile(b"ok"))
        try:
            with storage.open(written) as file:
                return bool(file.read() == b"ok")
        finally:
            storage.delete(written)
    except Exception:  # storage libraries raise many types; each means that the storage does not work
        logger.exception("the evidence storage did not answer")
        return False


def check_database() -> bool:
    """Return whether the database answers the smallest query."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return bool(cursor.fetchone()[0] == 1)
    except Error:
        logger.exception("the database did not answer")
        return False


def check_database_writes() -> bool:
    """Return whether the database can store: this process writes a sign of life.

    SQLite is written by a connection of its own, which does not wait for other writers.
    """
    with _impatient_connection() as writer:
        try:
            now = writer.ops.adapt_datetimefield_value(timezone.now())
            with writer.cursor() as cursor:
                cursor.execute(WRITE_SQL, [now, now])
            return True
        except Error as error:
            if "locked" in str(error):
                return True
            logger.exception("the database could not be written")
            return False


@contextmanager
def _impatient_connection() -> Iterator[BaseDatabaseWrapper]:
    if connection.settings_dict["ENGINE"] != "kikaku.sqlite":
        yield connection
        return
    writer: Any = connection.copy()
    writer.settings_dict["OPTIONS"] = {**writer.settings_dict["OPTIONS"], "timeout": LOCK_SECONDS}
    try:
        writer.ensure_connection()
        writer.queue = None
        yield writer
    finally:
        writer.close()


def hung_pools(request: HttpRequest) -> list[str]:
    """Return the names of the front door's pools that hang; none where a test client stands in for it."""
    door: Door | None = request.META.get("kikaku.door")
    return door.hung_pools() if door is not None else []


storage_probe = Probe(check_evidence_storage, seconds=PROBE_SECONDS)
write_probe = Probe(check_database_writes, seconds=PROBE_SECONDS)


@never_cache
@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """Return 200 when threads, database and storage work, 503 when one does not."""
    database, storage, hung = check_database() and write_probe(), storage_probe(), hung_pools(request)
    is_healthy = database and storage and not hung
    return JsonResponse(
        {
            "ok": is_healthy,
            "database": "ok" if database else "error",
            "r2": "ok" if storage else "error",
            "threads": f"hung: {', '.join(hung)}" if hung else "ok",
            "environment": settings.ENVIRONMENT,
        },
        status=200 if is_healthy else 503,
    )
