"""What a statement does, read from its first words, and what the compiler knows of the SQL that it wrote."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from .tokens import Token, tokenize

READ_VERBS = frozenset(("SELECT", "VALUES"))
WRITE_VERBS = frozenset(("INSERT", "REPLACE", "UPDATE", "DELETE"))
SCHEMA_VERBS = frozenset(("CREATE", "ALTER", "DROP", "REINDEX"))
# between the verb of a write and its table
BEFORE_TABLE = frozenset(("OR", "ABORT", "FAIL", "IGNORE", "REPLACE", "ROLLBACK", "INTO", "FROM"))
# a comment of the compiler: no guard knows the rows of a subquery, so such a statement is refused
LOCKED_SUBQUERY = "/* select_for_update() */"


class SQL(str):
    """A statement with what the compiler knows of it. Django's wrappers pass it on unchanged."""

    columns: int | None = None  # of its rows, when known
    # the rows it reads are locked: table and column of each primary key among the columns
    locks: tuple[tuple[str, int], ...] | None = None
    # by which the rows can be read in pages: position of a unique column, whether it descends
    page_key: tuple[int, bool] | None = None
    skip_count_guard: bool = False  # an INSERT that inserts all of its rows, with their ids, or fails
    has_reserved_ids: bool = False
    rows: int | None = None  # that an INSERT inserts, each by equally many parameters
    returning: str | None = None  # within a block: the SELECT that replaces RETURNING


@dataclass(frozen=True, slots=True)
class Kind:
    """The verb of a statement, upper case, and the table that it writes, lower case, if any."""

    verb: str
    table: str = ""

    @property
    def is_read(self) -> bool:
        """Return whether it returns rows and changes nothing."""
        return self.verb in READ_VERBS

    @property
    def is_write(self) -> bool:
        """Return whether it changes rows."""
        return self.verb in WRITE_VERBS

    @property
    def is_schema_change(self) -> bool:
        """Return whether it changes the schema."""
        return self.verb in SCHEMA_VERBS


def kind_of(sql: str) -> Kind:
    """Return what a statement does. After WITH, it is the verb that uses the common table expressions."""
    tokens = _top_level(sql)
    verb = next((token.keyword for token in tokens if token.source != ";"), "")
    if verb == "WITH":
        verb = next((word for word in (t.keyword for t in tokens) if word in READ_VERBS | WRITE_VERBS), "")
    if verb not in WRITE_VERBS:
        return Kind(verb)
    table = ""
    for token in tokens:
        if not table:
            # SQLite takes a name in single quotes, too
            if token.kind in ("word", "name", "text") and token.keyword not in BEFORE_TABLE:
                table = token.value
        elif token.source == ".":  # it was the schema: `main.account`
            table = ""
        else:
            break
    return Kind(verb, table.lower())


def strip_semicolon(sql: str) -> str:
    """Return SQL without a semicolon at its end, which D1 would read as the start of an empty statement.

    Raises:
        sqlite3.ProgrammingError: there are several statements.
    """
    if ";" not in sql:
        return sql
    tokens = list(_top_level(sql))
    while tokens and tokens[-1].source == ";":
        sql = sql[: tokens.pop().start]
    if tokens and tokens[0].keyword not in SCHEMA_VERBS and any(token.source == ";" for token in tokens):
        raise sqlite3.ProgrammingError("You can only execute one statement at a time.")
    return sql


def tables_written_by_trigger(sql: str) -> set[str]:
    """Return the names of the tables that a trigger's statements write, lower case."""
    tokens = list(_top_level(sql))
    begin = next((token.start for token in tokens if token.keyword == "BEGIN"), None)
    if begin is None:
        return set()
    starts = [begin + len("BEGIN"), *(token.start + 1 for token in tokens if token.source == ";")]
    return {kind_of(sql[start:]).table for start in starts} - {""}


def has_returning(sql: str) -> bool:
    """Return whether a write has a RETURNING clause."""
    return "returning" in sql.lower() and any(token.keyword == "RETURNING" for token in _top_level(sql))


def selects_star(sql: str) -> bool:
    """Return whether the columns of a SELECT follow from its tables: `SELECT *`, `SELECT t.*`."""
    if "*" not in sql:
        return False
    before = ""
    for token in _top_level(sql):
        if token.source == "*" and before in ("SELECT", "DISTINCT", "ALL", ",", "."):
            return True
        before = token.keyword or token.source
    return False


def _top_level(sql: str) -> Iterator[Token]:
    """Yield the tokens outside of parentheses."""
    return (token for token in tokenize(sql) if token.depth == 0)
