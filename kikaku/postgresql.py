"""The connection to PostgreSQL: time limits, so that nothing waits for a lock or a server without end."""

from typing import Any

import dj_database_url

CONNECT_SECONDS = 5
LOCK_SECONDS = 5  # a page that waits longer for another writer answers 503
# far above what a page or a step of the daily close takes; for a migration that rewrites a large table
# `?options=-c%20statement_timeout%3D0` in DATABASE_URL lifts it
STATEMENT_SECONDS = 60
UNANSWERED_SECONDS = 20  # until a connection whose other end does not acknowledge data is given up


def database(url: str) -> dict[str, Any]:
    """Return the entry of DATABASES for a postgres:// address; what its query string says goes first.

    A connection is used again for ten minutes, and asked before a request whether it still works.
    """
    entry: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=600, conn_health_checks=True))
    options = entry.setdefault("OPTIONS", {})
    limits = f"-c lock_timeout={LOCK_SECONDS}s -c statement_timeout={STATEMENT_SECONDS}s"
    entry["OPTIONS"] = {
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": UNANSWERED_SECONDS,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": UNANSWERED_SECONDS * 1000,
        **options,
        "options": f"{limits} {options.get('options', '')}".strip(),
    }
    return entry
