"""What a statement does, read from its first words, and what the compiler knows of the SQL that it wrote."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

READ_VERBS = frozenset(("SELECT", "VALUES"))
WRITE_VERBS = frozenset(("INSERT", "REPLACE", "UPDATE", "DELETE"))
SCHEMA_VERBS = frozenset(("CREATE", "ALTER", "DROP", "REINDEX"))
# in a write within a block these have another value at COMMIT than in the dry run that the caller saw
NONDETERMINISTIC = ("random(", "randomblob(", "current_timestamp", "current_date", "current_time", "'now'")


class SQL(str):
    """A statement with what the compiler knows of it. Django's wrappers pass it on unchanged."""

    columns: int | None = None  # of its rows, when known
    # the rows it reads are locked: table and column of each primary key among the columns
    locks: tuple[tuple[str, int], ...] | None = None
    skip_count_guard: bool = False  # an INSERT that inserts all of its rows, with their ids, or fails
    has_reserved_ids: bool = False
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
    words = (word for _at, word in _tokens(sql) if word != ";")
    verb = next(words, "").upper()
    if verb == "WITH":
        verb = next((word for word in map(str.upper, words) if word in READ_VERBS | WRITE_VERBS), "")
    if verb not in WRITE_VERBS:
        return Kind(verb)
    for word in words:
        if word.upper() in ("OR", "ABORT", "FAIL", "IGNORE", "REPLACE", "ROLLBACK", "INTO", "FROM", "MAIN"):
            continue
        return Kind(verb, word.strip('"`[]').lower())
    return Kind(verb)


def strip_semicolon(sql: str) -> str:
    """Return SQL without a semicolon at its end, which D1 would read as the start of an empty statement.

    Raises:
        sqlite3.ProgrammingError: there are several statements.
    """
    if ";" not in sql:
        return sql
    tokens = list(_tokens(sql))
    while tokens and tokens[-1][1] == ";":
        sql = sql[: tokens.pop()[0]]
    if tokens and tokens[0][1].upper() not in SCHEMA_VERBS and any(word == ";" for _at, word in tokens):
        raise sqlite3.ProgrammingError("You can only execute one statement at a time.")
    return sql


def tables_written_by_trigger(sql: str) -> set[str]:
    """Return the names of the tables that a trigger's statements write, lower case."""
    begins = [at for at, word in _tokens(sql) if word.upper() == "BEGIN"]
    semicolons = [at for at, word in _tokens(sql) if word == ";"]
    if not begins:
        return set()
    starts = [begins[0] + len("BEGIN"), *(at + 1 for at in semicolons)]
    return {kind_of(sql[start:]).table for start in starts} - {""}


def nondeterministic(sql: str) -> str | None:
    """Return the first word of a statement that reads the clock or a random number, if any.

    In compiled SQL only random numbers count: the compiler writes the current time as a literal.
    """
    lower = sql.lower()
    words = NONDETERMINISTIC[:1] if isinstance(sql, SQL) else NONDETERMINISTIC
    return next((word for word in words if word in lower), None)


def has_returning(sql: str) -> bool:
    """Return whether a write has a RETURNING clause."""
    return "returning" in sql.lower() and any(word.upper() == "RETURNING" for _at, word in _tokens(sql))


def _tokens(sql: str) -> Iterator[tuple[int, str]]:
    """Yield (position, word) for words and semicolons outside of parentheses, texts and comments.

    A quoted name is a word with its quotes.
    """
    at, depth, end = 0, 0, len(sql)
    while at < end:
        char, start = sql[at], at
        if sql.startswith("--", at):
            at = _end_of(sql, "\n", at)
        elif sql.startswith("/*", at):
            at = _end_of(sql, "*/", at)
        elif char in "'\"`[":
            at = _end_of(sql, "]" if char == "[" else char, at + 1)
            if char != "'" and depth == 0:
                yield start, sql[start:at]
        elif char in "()":
            depth += 1 if char == "(" else -1
            at += 1
        elif char.isalpha() or char == "_":
            while at < end and (sql[at].isalnum() or sql[at] in "_$"):
                at += 1
            if depth == 0:
                yield start, sql[start:at]
        else:
            at += 1
            if char == ";" and depth == 0:
                yield start, char


def _end_of(sql: str, mark: str, at: int) -> int:
    """Return the position after the next `mark`, or the end of the SQL."""
    found = sql.find(mark, at)
    return len(sql) if found < 0 else found + len(mark)
