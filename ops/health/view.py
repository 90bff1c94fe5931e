"""`GET /health`: whether this process can serve: the door's threads, the database, the evidence storage.

Database and storage are written too, at most twice a minute: a full disk still answers readers. Whatever
hangs, the answer comes within two seconds. `?deep=1` asks for worker and jobs, too. With the header
`x-admin-key` it has the details of `ops.health.report`.
"""

import hmac
import time
from typing import Any

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from kikaku.door import Door
from ops.health import parts, report
from ops.health.parts import Hangs, Part

database_part = Part("database", parts.ask_database)
write_part = Part("database-writes", parts.check_database_writes, seconds=parts.PROBE_SECONDS)
storage_part = Part("storage", parts.check_evidence_storage, seconds=parts.PROBE_SECONDS)
deep_part = Part("duties", report.deep)
details_part = Part("details", report.details)


def hung_pools(request: HttpRequest) -> list[str]:
    """Return the names of the front door's pools that hang; none where a test client stands in for it."""
    door: Door | None = request.META.get("kikaku.door")
    return door.hung_pools() if door is not None else []


def has_admin_key(request: HttpRequest) -> bool:
    """Return whether a request has the admin key in its header, compared in constant time."""
    given = request.headers.get("x-admin-key", "")
    key = settings.ADMIN_API_KEY
    return bool(key) and hmac.compare_digest(given.encode("utf-8", "replace"), key.encode())


@never_cache
@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """Return 200 when threads, database and storage work, 503 when one does not; 403 for a wrong key."""
    asks_for_details = "x-admin-key" in request.headers
    if asks_for_details and not has_admin_key(request):
        return JsonResponse({"error": "x-admin-key is wrong, or ADMIN_API_KEY is not set"}, status=403)
    is_deep = request.GET.get("deep") == "1"
    asked: list[Part[Any]] = [database_part, write_part, storage_part]
    asked += [deep_part] * is_deep + [details_part] * asks_for_details
    until = time.monotonic() + parts.PATIENCE
    for part in asked:
        part.begin()
    latency = _answer(database_part, None, until=until)
    database = latency is not None and parts.works(write_part, until=until)
    storage, hung = parts.works(storage_part, until=until), hung_pools(request)
    content: dict[str, Any] = {
        "ok": database and storage and not hung,
        "database": "ok" if database else "error",
        "r2": "ok" if storage else "error",
        "threads": f"hung: {', '.join(hung)}" if hung else "ok",
        "environment": settings.ENVIRONMENT,
    }
    if is_deep:
        content |= _answer(deep_part, {"worker": "unknown", "overdue_jobs": []}, until=until)
        content["ok"] = content["ok"] and content["worker"] == "ok" and not content["overdue_jobs"]
    if asks_for_details:
        content |= {
            "release": settings.RELEASE,
            "engine": report.engine(),
            "database_ms": latency,
            "storage": report.storage(),
        }
        content |= _answer(details_part, {"warnings": ["the details did not come in time"]}, until=until)
    return JsonResponse(content, status=200 if content["ok"] else 503)


def _answer(part: Part[Any], otherwise: Any, *, until: float) -> Any:
    """Return a part's answer, or something else if it hangs or failed."""
    try:
        return part.answer(until=until)
    except (Hangs, RuntimeError):
        return otherwise
