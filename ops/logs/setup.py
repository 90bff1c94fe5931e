"""Logs: readable lines in development, JSON in production, without secrets in either.

Every record goes through one handler, and redaction is its last step: it sees the finished line, traceback
included.
"""

import logging
import sys
from contextvars import ContextVar
from typing import Any, TextIO

import structlog

from ops.logs.redaction import redact

current_request: ContextVar[str] = ContextVar("current_request", default="")
_LOG_LEVELS = {
    "django_q": logging.WARNING,  # logs each of its cycles; `ops.jobs.schedule` logs what a job did
    "django-q": logging.WARNING,
    "django.request": logging.ERROR,  # each request has a line of its own (`ops.metrics.requests`)
    "django.security.DisallowedHost": logging.CRITICAL,  # robots that try host names; they get 400
    "stripe": logging.WARNING,
    "botocore": logging.WARNING,
    "boto3": logging.WARNING,
    "urllib3": logging.WARNING,
    "s3transfer": logging.WARNING,
    "asyncio": logging.WARNING,
}


def add_request_id(logger: Any, name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Add the id of the request, or of the job's run, that this thread works on."""
    request_id = current_request.get()
    if request_id:
        event.setdefault("request_id", request_id)
    return event


class RedactingFormatter(structlog.stdlib.ProcessorFormatter):
    """Formatter for records of structlog and of the standard library that redacts the finished line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the finished line."""
        return redact(super().format(record))


class RedactingHandler(logging.StreamHandler[TextIO]):
    """Handler of this module; a class of its own, so that `configure` replaces it and no other."""


def configure(*, production: bool, stream: TextIO | None = None) -> None:
    """Send all logs to `stream` (standard error by default); safe to call again."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        add_request_id,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso" if production else "%H:%M:%S", utc=production),
    ]
    final: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if production:
        final += [
            # without the frames' local variables: they hold addresses, session ids and form input
            structlog.processors.ExceptionRenderer(
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    else:
        final += [
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
        ]
    handler = RedactingHandler(stream or sys.stderr)
    handler.setFormatter(RedactingFormatter(foreign_pre_chain=shared, processors=final))

    root = logging.getLogger()
    root.handlers = [other for other in root.handlers if not isinstance(other, RedactingHandler)] + [handler]
    root.setLevel(logging.INFO)
    for name, level in _LOG_LEVELS.items():
        logger = logging.getLogger(name)
        logger.handlers.clear()  # django-q2 adds its own handler
        logger.propagate = True
        logger.setLevel(level)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
