"""The connection to SQLite: fair writers, no deadlock, and durable commits."""

from typing import Any

import dj_database_url


def database(url: str) -> dict[str, Any]:
    """Return the entry of DATABASES for a sqlite:/// address."""
    entry: dict[str, Any] = dict(dj_database_url.parse(url))
    return entry | {
        "ENGINE": "kikaku.sqlite",  # Django's backend with a queue of writers
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "timeout": 20,  # seconds a writer waits for another
            # a transaction takes the write lock at its start: no deadlock by upgrading a read lock
            "transaction_mode": "IMMEDIATE",
            # synchronous=FULL: a paid order survives a power cut
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        },
    }
