"""What D1 says when it refuses, as the exceptions that Python's sqlite3 would have raised.

Django knows those, and makes its own of them. What the backend itself has to tell (a conflict, an unknown COMMIT) is
in `kikaku.d1`.
"""

import sqlite3
from typing import NoReturn

from . import TransactionConflict
from .transaction import CONFLICT, DANGLING, OWN_TABLES
from .transport import MARK, Silence

TOO_BIG = ("string or blob too big", "SQLITE_TOOBIG")
TOO_LONG = "the request (413)"


class TooBig(sqlite3.DataError):
    """A value is over D1's limit, or a result does not fit into the text of an error."""


def lacks_setup(text: str) -> bool:
    """Tell whether D1 misses one of the backend's own tables."""
    said = text.partition(MARK)[0]
    return any(f"no such table: {table}" in said for table in (*OWN_TABLES, "sqlite_sequence"))


def refused_at_commit(text: str, *, untried: bool) -> NoReturn:
    """Name a refusal of the whole log. What passed its trial fails only by another writer's doing."""
    if DANGLING in text:
        raise sqlite3.IntegrityError("FOREIGN KEY constraint failed")
    if CONFLICT in text or ("constraint" in text.lower() and not untried):
        raise TransactionConflict(
            "Another writer changed what this block read or wrote. Nothing was applied."
        )
    raise translated(text)


def unheard(silence: Silence, *, reads: bool) -> sqlite3.OperationalError:
    """Return the exception for a request without an answer."""
    if reads or not silence.sent:
        return sqlite3.OperationalError(f"{silence}. Nothing was written.")
    return sqlite3.OperationalError(
        f"{silence}. Whether the statement was applied is not known; COMMIT of a transaction would have asked."
    )


def clean(text: str) -> str:
    """Return SQLite's own words out of D1's: `D1_ERROR: no such table: t: SQLITE_ERROR`."""
    text = text.partition(MARK)[0].removeprefix("D1_ERROR: ").removeprefix("Error: ")
    return text.partition(": SQLITE_")[0]


def translated(text: str) -> Exception:
    """Return the exception that Python's sqlite3 would have raised."""
    words, lower = clean(text), text.partition(MARK)[0].lower()
    if "sqlite_constraint" in lower or "constraint failed" in lower or "sqlite_mismatch" in lower:
        return sqlite3.IntegrityError(words)
    if any(one.lower() in lower for one in TOO_BIG):
        return TooBig(f"{words} (D1 takes 2 MB a value, and gives 2 MB a row, where a blob counts twice)")
    if TOO_LONG in lower:
        return sqlite3.DataError(f"{words} (it takes 8 MB at once)")
    if "sqlite_auth" in lower or "not authorized" in lower:
        return sqlite3.DatabaseError(words)
    return sqlite3.OperationalError(words)
