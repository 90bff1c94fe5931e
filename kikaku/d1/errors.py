"""D1's error texts as the exceptions of Python's sqlite3, which Django wraps in its own."""

import sqlite3
from typing import NoReturn

from .exceptions import ConstraintConflict, TransactionConflict
from .guards import CONFLICT_ERROR, OWN_TABLES, REFERENCE_ERROR
from .transport import ROWS_MARK, NoAnswer

TOO_BIG_ERRORS = ("string or blob too big", "SQLITE_TOOBIG")
REQUEST_TOO_LARGE = "the request (413)"
ANSWER_TOO_LARGE = "answer too large"
# SQLite names no number: which limit of D1 a statement exceeded
LIMITS = {
    "too many columns on": "D1 takes 100 columns in a table",
    "too many columns in": "D1 takes 100 columns in a SELECT: fetch fewer, with only() or values()",
    "too many terms in compound": "D1 takes 5 terms of UNION, INTERSECT or EXCEPT",
    "too many terms in": "D1 takes 100 expressions in ORDER BY or GROUP BY",
    "expression tree is too large": "D1 takes expressions 100 deep: nest fewer Q objects or functions",
    "parser stack overflow": "D1 takes expressions 100 deep: nest fewer Q objects or functions",
    "like or glob pattern too complex": "D1 takes patterns of 50 bytes: use instr()",
    "too many arguments on function": "D1 takes 32 arguments of a function",
    "too many sql variables": "D1 binds 100 values in a statement",
    "statement too long": "D1 takes 100,000 bytes of SQL",
}


class TooBig(sqlite3.DataError):
    """A value is over D1's limit, or a result does not fit into one answer or the text of an error."""


def is_missing_setup(text: str) -> bool:
    """Return whether D1 reports that one of the backend's own tables does not exist."""
    message = text.partition(ROWS_MARK)[0]
    return any(f"no such table: {table}" in message for table in (*OWN_TABLES, "sqlite_sequence"))


def raise_commit_error(text: str, *, has_queued: bool) -> NoReturn:
    """Raise the error of a refused COMMIT. What passed its dry run fails only because of another writer."""
    if REFERENCE_ERROR in text:
        raise sqlite3.IntegrityError("FOREIGN KEY constraint failed")
    if CONFLICT_ERROR in text or (_is_constraint_error(text) and not has_queued):
        raise conflict_error(text)
    raise as_sqlite_error(text)


def conflict_error(text: str) -> TransactionConflict:
    """Return the exception for a log that does not fit the database any more, by D1's text."""
    if CONFLICT_ERROR not in text and _is_constraint_error(text):
        return ConstraintConflict(f"{sqlite_message(text)}: another writer was faster. Nothing was applied.")
    return TransactionConflict("Another writer changed what this block read or wrote. Nothing was applied.")


def no_answer_error(no_answer: NoAnswer, *, is_read: bool) -> sqlite3.OperationalError:
    """Return the exception for a request without an answer."""
    if is_read or not no_answer.sent:
        return sqlite3.OperationalError(f"{no_answer}. Nothing was written.")
    return sqlite3.OperationalError(
        f"{no_answer}. Whether the statement was applied is not known; COMMIT of a transaction would have "
        "asked."
    )


def sqlite_message(text: str) -> str:
    """Return SQLite's own message out of D1's text: `D1_ERROR: no such table: t: SQLITE_ERROR`."""
    text = text.partition(ROWS_MARK)[0].removeprefix("D1_ERROR: ").removeprefix("Error: ")
    return text.partition(": SQLITE_")[0]


def _is_constraint_error(text: str) -> bool:
    """Return whether a constraint or a trigger refused a row."""
    lower = text.partition(ROWS_MARK)[0].lower()
    return any(words in lower for words in ("sqlite_constraint", "constraint failed", "sqlite_mismatch"))


def as_sqlite_error(text: str) -> Exception:
    """Return the exception that Python's sqlite3 would have raised for D1's error text."""
    message, lower = sqlite_message(text), text.partition(ROWS_MARK)[0].lower()
    if _is_constraint_error(text):
        return sqlite3.IntegrityError(message)
    limit = next((limit for words, limit in LIMITS.items() if words in lower), None)
    if limit is not None:
        return sqlite3.OperationalError(f"{message} ({limit})")
    if ANSWER_TOO_LARGE in lower:
        return TooBig(
            "These rows are over 32 MB as JSON, more than the D1 gateway returns at once. Use "
            "iterator(), which reads in pages by the primary key, or slices"
        )
    if any(words.lower() in lower for words in TOO_BIG_ERRORS):
        return TooBig(f"{message} (D1 takes 2 MB a value, and returns 2 MB a row, where a blob counts twice)")
    if REQUEST_TOO_LARGE in lower:
        return sqlite3.DataError(f"{message} (it takes 8 MB at once)")
    if "sqlite_auth" in lower or "not authorized" in lower:
        return sqlite3.DatabaseError(message)
    return sqlite3.OperationalError(message)
