"""The SQL of transactions: the backend's own tables, guards, probes of rows, and results as JSON.

A guard is an INSERT into `_d1_guard` of a NULL, which that table refuses: it inserts one unless something is
still as the block has seen it. A probe is an INSERT into `_d1_probe`, which always fails with its text as the
error: so a batch that is undone as a whole can still return a result.
"""

import json
from collections.abc import Iterable, Sequence

from .values import MAX_INLINE_LENGTH, Statement, identifier, quoted, row

# The backend's own tables, created when the first block finds that one is missing.
SETUP = [
    # the CHECK refuses every row, so that a dry run is never applied, not even without the trigger
    Statement("CREATE TABLE IF NOT EXISTS _d1_probe (payload TEXT CHECK (payload IS NULL))"),
    Statement(
        "CREATE TRIGGER IF NOT EXISTS _d1_probe_raise BEFORE INSERT ON _d1_probe "
        "BEGIN SELECT RAISE(ABORT, NEW.payload); END"
    ),
    Statement(
        "CREATE TABLE IF NOT EXISTS _d1_guard (ok INTEGER NOT NULL, reference INTEGER NOT NULL DEFAULT 1)"
    ),
    # the last block that locked a row
    Statement(
        "CREATE TABLE IF NOT EXISTS _d1_lock (name TEXT NOT NULL, key NOT NULL, version INTEGER NOT NULL, "
        "at INTEGER NOT NULL, PRIMARY KEY (name, key)) WITHOUT ROWID"
    ),
    Statement("CREATE TABLE IF NOT EXISTS _d1_commit (id INTEGER PRIMARY KEY, at INTEGER NOT NULL)"),
    # creates sqlite_sequence, from which ids are reserved
    Statement("CREATE TABLE IF NOT EXISTS _d1_sequence (id INTEGER PRIMARY KEY AUTOINCREMENT)"),
]
OWN_TABLES = ("_d1_probe", "_d1_guard", "_d1_lock", "_d1_commit", "_d1_sequence")
CONFLICT_ERROR = "NOT NULL constraint failed: _d1_guard.ok"
REFERENCE_ERROR = "NOT NULL constraint failed: _d1_guard.reference"

DEFER_FOREIGN_KEYS = Statement("PRAGMA defer_foreign_keys=on")
Page = tuple[int, int]  # of a result: number of rows, offset
MIN_COSTLY_LENGTH = 4_000  # characters of a query whose expressions may be expensive


def as_cte(sql: str, columns: int, *, name: str = "_q", may_materialize: bool = True) -> str:
    """Return `WITH _q(c0, …) AS (the query)`; the newline ends a comment that the query may end with.

    Without MATERIALIZED, SQLite writes an expression (a subquery, too) out at each use of its column, and
    computes it as often; with it, D1 bills a row twice. So only queries that may be expensive get it.
    """
    is_costly = may_materialize and (len(sql) > MIN_COSTLY_LENGTH or sql.upper().rfind("SELECT") > 0)
    how = "MATERIALIZED " if is_costly else ""
    return f"WITH {name}({','.join(_column_names(columns))}) AS {how}({sql}\n)"


def rows_as_json(columns: int, *, exact: bool = False, page: Page | None = None) -> str:
    """Return the SELECT of all rows of `_q` as one JSON text, or of a page of them."""
    source = "_q" if page is None else f"(SELECT * FROM _q LIMIT {page[0]} OFFSET {page[1]})"
    return f"SELECT json_group_array({row(_column_names(columns), exact=exact)}) FROM {source}"


def each_row_as_json(columns: int, *, exact: bool = False) -> str:
    """Return the SELECT of one JSON text for each row of `_q`."""
    return f"SELECT {row(_column_names(columns), exact=exact)} AS j FROM _q"


def _column_names(columns: int) -> list[str]:
    return [f"c{number}" for number in range(columns)]


def with_lock_versions(query: Statement, columns: int, keys: Sequence[tuple[str, int]]) -> Statement:
    """Return a query with one more column for each locked row: the last block that locked it.

    `keys` are (table, column of its primary key). A guard on these columns makes a lock exclusive: of two
    blocks that lock a row at the same time, the second to commit finds another version, even when the first
    did not change the row.
    """
    versions = "".join(
        f",(SELECT version FROM _d1_lock WHERE name={quoted(table)} AND key=_l.c{at})" for table, at in keys
    )
    cte = as_cte(query.sql, columns, name="_l")
    return Statement(f"{cte} SELECT *{versions} FROM _l", query.bound)


def delete_old_traces(before: int) -> list[Statement]:
    """Return the DELETEs of commit rows and lock versions older than an instant (seconds since 1970)."""
    return [
        Statement(f"DELETE FROM _d1_commit WHERE abs(at)<{before}"),
        Statement(f"DELETE FROM _d1_lock WHERE at<{before}"),
    ]


def advance_sequence(table: str, count: int) -> list[Statement]:
    """Return two statements that reserve ids, above all that a table has; the second returns the last."""
    name = quoted(table)
    return [
        Statement(
            f"INSERT INTO sqlite_sequence(name, seq) SELECT {name}, 0 "
            f"WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name={name})"
        ),
        Statement(
            "UPDATE sqlite_sequence "
            f"SET seq=max(seq, (SELECT ifnull(max(rowid),0) FROM {identifier(table)}))+{count} "
            f"WHERE name={name} RETURNING CAST(seq AS TEXT) AS seq"
        ),
    ]


def guard_changes(count: int) -> Statement:
    """Return the guard on the number of rows that the statement directly before changed."""
    return Statement(f"INSERT INTO _d1_guard(ok) SELECT NULL WHERE changes()<>{count}")


def guard_rowid(rowid: int) -> Statement:
    """Return the guard on the id that the INSERT directly before was given."""
    return Statement(f"INSERT INTO _d1_guard(ok) SELECT NULL WHERE last_insert_rowid()<>{rowid}")


def guard_rows(query: Statement, columns: int, seen: str, page: Page | None = None) -> Statement:
    """Return the guard on the rows of a query; `seen` is the JSON text that they were."""
    rows = rows_as_json(columns, page=page)
    start = f"INSERT INTO _d1_guard(ok) {as_cte(query.sql, columns)} SELECT NULL WHERE ({rows}) IS NOT "
    if len(seen) <= MAX_INLINE_LENGTH and "\0" not in seen:
        return Statement(start + quoted(seen), query.bound)
    return Statement(f"{start}?{len(query.bound) + 1}", (*query.bound, seen))


def guard_references(tables: set[str]) -> Statement:
    """Return the guard that every foreign key of these tables refers to a row."""
    return Statement(
        f"INSERT INTO _d1_guard(ok, reference) SELECT 1, NULL WHERE EXISTS({foreign_key_violations(tables)})"
    )


def foreign_key_violations(tables: Iterable[str]) -> str:
    """Return the SELECT of foreign key violations, as PRAGMA foreign_key_check gives them.

    Tables that do not exist are left out.
    """
    listed = quoted(json.dumps(sorted(tables), ensure_ascii=False))
    return (
        "SELECT violation.* FROM (SELECT value AS name FROM "
        f"json_each({listed}) WHERE value IN (SELECT name FROM sqlite_master)) AS checked, "
        "pragma_foreign_key_check(checked.name) AS violation"
    )
