"""Error reports to Sentry, scrubbed of personal data, and its monitors of the scheduled jobs.

Everything is sent by a daemon thread of the SDK with a bounded queue: a Sentry that fails or hangs costs
reports, and neither a request nor a job.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed, PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse

from ops.logs.redaction import redact

if TYPE_CHECKING:  # production without Sentry does not load the SDK
    from sentry_sdk._types import MonitorConfig

END_SECONDS = 1.0  # that the end of a process waits for the last reports
JOB_MINUTES = 6  # after which a run is late: the lease of a run
CLIENT_ERRORS = (Http404, PermissionDenied, SuspiciousOperation)  # answered with 4xx

# what holds bodies, values, addresses of clients, or more of the user than the id
DROPPED = frozenset(("cookies", "data", "vars", "env", "query_string"))
HEADERS = frozenset(("accept-language", "content-type", "host", "referer", "user-agent"))
ADDRESSES = frozenset(("url", "referer"))  # without their query: it may hold what a person typed


def scrub(event: Any, hint: Any = None) -> Any:
    """Return a part of a Sentry event with all texts redacted, and of the user nothing but the id."""
    if isinstance(event, str):
        return redact(event)
    if isinstance(event, dict):
        return {key: _scrub_entry(key, value) for key, value in event.items() if key not in DROPPED}
    if isinstance(event, list | tuple):
        return [scrub(item) for item in event]
    return event


def _scrub_entry(key: Any, value: Any) -> Any:
    name = key.lower() if isinstance(key, str) else ""
    if name == "user" and isinstance(value, dict):
        return {"id": value["id"]} if "id" in value else {}
    if name == "headers" and isinstance(value, dict):
        return {key: _scrub_entry(key, value) for key, value in value.items() if key.lower() in HEADERS}
    if name in ADDRESSES and isinstance(value, str):
        return redact(value.partition("?")[0])
    return scrub(value)


def before_send(event: Any, hint: dict[str, Any]) -> Any:
    """Return the scrubbed event; None for what was answered with 4xx."""
    _type, error, _traceback = hint.get("exc_info") or (None, None, None)
    status = getattr(hint.get("log_record"), "status_code", None)  # Django's own records have it
    is_client_error = isinstance(status, int) and status < HTTPStatus.INTERNAL_SERVER_ERROR
    return None if is_client_error or isinstance(error, CLIENT_ERRORS) else scrub(event)


def start_sentry(dsn: str, *, environment: str, release: str = "") -> None:
    """Report errors to Sentry from now on, without personal data; do nothing when `dsn` is empty."""
    if not dsn:
        return
    import sentry_sdk
    from sentry_sdk.integrations.logging import ignore_logger

    sentry_sdk.init(
        dsn=dsn,
        environment=environment,
        release=release or None,
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        before_send=before_send,
        before_breadcrumb=scrub,
        auto_session_tracking=False,
        trace_propagation_targets=[],  # Stripe and R2 get no headers of ours
        shutdown_timeout=END_SECONDS,
    )
    ignore_logger("django.security.*")  # refused requests, answered with 4xx


class SentryUserMiddleware:
    """Middleware that gives reports the id of a user whom the request has loaded; it loads none."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        if not settings.SENTRY_DSN:
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request."""
        import sentry_sdk

        def add_user(event: Any, hint: Any) -> Any:
            user = getattr(request, "_cached_user", None)  # set where `request.user` was read
            if user is not None and user.pk is not None:
                event["user"] = {"id": str(user.pk)}
            return event

        sentry_sdk.get_isolation_scope().add_event_processor(add_user)
        return self.get_response(request)


def monitor(period: timedelta, *, cron: str = "") -> "MonitorConfig":
    """Return the monitor of a job: late after three of its periods, or after half an hour if it has a time.

    `cron` is its time in UTC as a crontab has it.
    """
    minutes = int(period.total_seconds() // 60)
    if cron:
        return {
            "schedule": {"type": "crontab", "value": cron},
            "checkin_margin": 30,
            "max_runtime": JOB_MINUTES,
            "timezone": "UTC",
        }
    return {
        "schedule": {"type": "interval", "value": minutes, "unit": "minute"},
        "checkin_margin": 2 * minutes,
        "max_runtime": JOB_MINUTES,
    }


@contextmanager
def monitored(name: str, config: "MonitorConfig") -> Iterator[Callable[[bool], None]]:
    """Check in a job's run at Sentry's monitor `name`; yield what is to be called with its success.

    What the job reports meanwhile has the job as its transaction. Without Sentry it does nothing.
    """
    if not settings.SENTRY_DSN:
        yield lambda succeeded: None
        return
    import sentry_sdk
    from sentry_sdk.crons import capture_checkin

    began = time.monotonic()
    outcome = [False]
    with sentry_sdk.isolation_scope() as scope:
        scope.set_transaction_name(f"job {name}", source="task")
        run = capture_checkin(name, status="in_progress", monitor_config=config)
        try:
            yield lambda succeeded: outcome.__setitem__(0, succeeded)
        finally:
            capture_checkin(
                name,
                check_in_id=run,
                status="ok" if outcome[0] else "error",
                duration=time.monotonic() - began,
                monitor_config=config,
            )
