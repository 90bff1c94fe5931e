"""The names of the columns of raw SELECTs. D1 gives them only beside numbers as JavaScript has them."""

from collections.abc import Callable
from typing import NamedTuple

from . import statements
from .transport import RawResult
from .values import Statement, quoted

MAX_CHECK_LENGTH = 20_000  # characters of a schema that a read is compared with
MAX_COLUMNS = 100  # of a SELECT, D1's limit


class Columns(NamedTuple):
    """The column names of a raw SELECT, and how a read of its rows finds out that they are other ones now."""

    names: list[str]
    is_fresh: bool  # asked for this read
    check: str | None = None  # SQL that is 1 as long as the tables are as they were; None: they do not matter


class ColumnNames:
    """The column names of raw SQL, asked once for each text.

    The columns of `SELECT *` change with its tables, also when another process changes them. D1 does not
    report its schema's version, so a read of such a SELECT compares the SQL of the tables that it names.
    """

    def __init__(self, query: Callable[[Statement], RawResult]) -> None:
        self._query = query
        self._known: dict[str, Columns] = {}

    def of(self, sql: str, query: Statement) -> Columns:
        """Return the columns of a raw SELECT; `query` is the same SQL with its values."""
        if sql in self._known:
            return self._known[sql]._replace(is_fresh=False)
        schema = None
        if statements.selects_star(sql) and len(sql) <= MAX_CHECK_LENGTH:
            # before the names: a change in between is then found by the check
            source = _schema_of(sql)
            schema = str(self._query(Statement(f"SELECT {source} AS sql")).rows[0][0] or "")
        names = self._query(Statement(f"SELECT * FROM ({query.sql}\n) LIMIT 0", query.bound)).columns
        check = None
        if schema is not None and len(schema) <= MAX_CHECK_LENGTH and len(names) < MAX_COLUMNS:
            check = f"ifnull({source},'')={quoted(schema)}"
        found = Columns(without_numbers(names), is_fresh=True, check=check)
        if check is not None or not statements.selects_star(sql):
            self._known[sql] = found
        return found

    def forget(self, sql: str) -> None:
        """Ask again for the names of this SQL."""
        self._known.pop(sql, None)

    def clear(self) -> None:
        """Ask again for all names: the schema changes."""
        self._known.clear()


def without_numbers(names: list[str]) -> list[str]:
    """Return names without the ":1" that SQLite adds to the second of two equal names of a subquery."""
    return [
        base if colon and number.isdigit() else name
        for name in names
        for base, colon, number in [name.rpartition(":")]
    ]


def _schema_of(sql: str) -> str:
    """Return the subquery of the SQL of the tables and views that a statement, or a view of it, names."""
    return (
        "(WITH RECURSIVE named(name,type,sql) AS ("
        "SELECT name,type,sql FROM sqlite_master "
        f"WHERE type IN ('table','view') AND instr(lower({quoted(sql)}),lower(name)) "
        "UNION SELECT m.name,m.type,m.sql FROM named JOIN sqlite_master AS m "
        "ON named.type='view' AND m.type IN ('table','view') AND instr(lower(named.sql),lower(m.name))) "
        "SELECT group_concat(sql,char(10)) FROM (SELECT sql FROM named ORDER BY name))"
    )
