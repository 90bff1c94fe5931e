"""Logs: readable lines in development, JSON in production, without secrets in either.

Every record goes through one handler, and redaction is its last step: it sees the finished line, traceback
included.
"""

import logging
import re
import sys
from typing import Any, TextIO

import structlog

# an address may come in capitals, with double slashes, and with codes for any letter
_SLASHES = r"(?:[/\\]|%2f|%5c)+"
_REDACTIONS: tuple[tuple[re.Pattern[str], str], ...] = (
    # the token alone gives access to the order
    (re.compile(rf"{_SLASHES}orders{_SLASHES}[a-z0-9_\-%]{{6,}}", re.IGNORECASE), "/orders/[token]"),
    (re.compile(rf"{_SLASHES}c{_SLASHES}pay{_SLASHES}[a-z0-9_\-#%.]+", re.IGNORECASE), "/c/pay/[session]"),
    (re.compile(r"\b((?:sk|rk|pk)_(?:live|test)_)[A-Za-z0-9_*]+"), r"\1[key]"),
    (re.compile(r"\b(whsec_)[A-Za-z0-9+/=]+"), r"\1[key]"),
    (re.compile(r"(://[^\s/:@]*:)[^\s/@]+@"), r"\1[password]@"),
    (re.compile(r"[\w.+\-]+@[\w\-]+(?:\.[\w\-]+)+"), "[e-mail]"),
)
_LOG_LEVELS = {
    "django_q": logging.WARNING,  # logs each of its cycles; `ops.schedule` logs what a job did
    "django-q": logging.WARNING,
    "django.security.DisallowedHost": logging.CRITICAL,  # robots that try host names; they get 400
    "stripe": logging.WARNING,
    "botocore": logging.WARNING,
    "boto3": logging.WARNING,
    "urllib3": logging.WARNING,
    "s3transfer": logging.WARNING,
    "asyncio": logging.WARNING,
}


def redact(text: str) -> str:
    """Replace order tokens, Stripe keys, payment page ids, passwords in URLs and e-mail addresses."""
    for pattern, replacement in _REDACTIONS:
        text = pattern.sub(replacement, text)
    return text


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


def scrub(event: Any, hint: Any = None) -> Any:
    """Return a Sentry event with all texts redacted and without cookies, bodies and values of variables."""
    if isinstance(event, str):
        return redact(event)
    if isinstance(event, dict):
        return {
            key: scrub(value)
            for key, value in event.items()
            if key not in ("cookies", "data", "vars", "env", "user", "Cookie", "Authorization")
        }
    if isinstance(event, list | tuple):
        return [scrub(item) for item in event]
    return event


def start_sentry(dsn: str, *, environment: str) -> None:
    """Report errors to Sentry from now on, without personal data; do nothing when `dsn` is empty."""
    if not dsn:
        return
    import sentry_sdk

    sentry_sdk.init(
        dsn=dsn,
        environment=environment,
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        before_send=scrub,
        before_breadcrumb=scrub,
        traces_sample_rate=0,
    )
