"""`GET /health`: can this process serve? Database and file storage are asked; one query."""

import logging
import os
import threading
import time
from collections.abc import Callable

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, storages
from django.db import Error, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

logger = logging.getLogger(__name__)
STORAGE_SECONDS = 30.0  # an answer of the storage is believed for so long


class Probe:
    """A check whose answer is kept for a while; while one thread asks anew, the others get the last answer."""

    def __init__(
        self, ask: Callable[[], bool], *, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.ask = ask
        self.seconds = seconds
        self.clock = clock
        self._asking = threading.Lock()
        self._answer: bool | None = None
        self._asked_at = 0.0

    def __call__(self) -> bool:
        """Return the answer, at most `seconds` old unless somebody is asking right now."""
        if self._answer is not None and self.clock() - self._asked_at < self.seconds:
            return self._answer
        if not self._asking.acquire(blocking=self._answer is None):
            return bool(self._answer)
        try:
            self._answer = self.ask()
            self._asked_at = self.clock()
            return self._answer
        finally:
            self._asking.release()


def evidence_storage_answers() -> bool:
    """Ask the storage of evidence: write, read and remove on a disk; on R2 a look, for its locks forbid removal."""
    storage = storages["evidence"]
    name = f"health/{os.getpid()}-{threading.get_ident()}"
    try:
        if not isinstance(storage, FileSystemStorage):
            storage.exists("health")  # 404 is an answer; everything else raises
            return True
        written = storage.save(name, ContentFile(b"ok"))
        try:
            with storage.open(written) as file:
                return bool(file.read() == b"ok")
        finally:
            storage.delete(written)
    except Exception:  # whatever a storage library raises means that it did not answer
        logger.exception("the evidence storage did not answer")
        return False


def database_answers() -> bool:
    """Run the smallest query."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return bool(cursor.fetchone()[0] == 1)
    except Error:
        logger.exception("the database did not answer")
        return False


storage_probe = Probe(evidence_storage_answers, seconds=STORAGE_SECONDS)


@never_cache
@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """Answer 200 when database and storage answer, 503 when one does not."""
    database, storage = database_answers(), storage_probe()
    return JsonResponse(
        {
            "ok": database and storage,
            "database": "ok" if database else "error",
            "r2": "ok" if storage else "error",
            "environment": settings.ENVIRONMENT,
        },
        status=200 if database and storage else 503,
    )
