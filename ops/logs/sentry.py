"""Error reports to Sentry, scrubbed of personal data."""

from typing import Any

from ops.logs.redaction import redact


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
