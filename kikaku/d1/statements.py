"""What a statement does, read from its first words; and what the compiler knows of the SQL it made."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

READS = frozenset(("SELECT", "VALUES"))
WRITES = frozenset(("INSERT", "REPLACE", "UPDATE", "DELETE"))
DEFINES = frozenset(("CREATE", "ALTER", "DROP", "REINDEX"))
# of a write in a block: what would be another value at COMMIT than when the caller was told
FLEETING = ("random(", "randomblob(", "current_timestamp", "current_date", "current_time", "'now'")


class SQL(str):
    """A statement with what the compiler knows of it. Django's wrappers pass it on as it is."""

    columns: int | None = None  # of its rows, when they are known
    # the rows it reads are locked: table and column of each key among them
    locks: tuple[tuple[str, int], ...] | None = None
    sure: bool = (
        False  # an INSERT that inserts all of its rows, with the ids that are written in it, or fails
    )
    reserved: bool = False  # … and these ids were reserved
    returning: str | None = None  # within a block: the SELECT that stands for RETURNING


@dataclass(frozen=True, slots=True)
class Kind:
    """The verb of a statement, upper case, and the table that it writes, lower case, if any."""

    verb: str
    table: str = ""

    @property
    def reads(self) -> bool:
        """Whether it gives rows and changes nothing."""
        return self.verb in READS

    @property
    def writes(self) -> bool:
        """Whether it changes rows."""
        return self.verb in WRITES

    @property
    def defines(self) -> bool:
        """Whether it changes the schema."""
        return self.verb in DEFINES


def kind(sql: str) -> Kind:
    """Tell what a statement does. A common table expression is passed over to the verb it serves."""
    words = (word for _at, word in _tokens(sql) if word != ";")
    verb = next(words, "").upper()
    if verb == "WITH":
        verb = next((word for word in map(str.upper, words) if word in READS | WRITES), "")
    if verb not in WRITES:
        return Kind(verb)
    for word in words:
        if word.upper() in ("OR", "ABORT", "FAIL", "IGNORE", "REPLACE", "ROLLBACK", "INTO", "FROM", "MAIN"):
            continue
        return Kind(verb, word.strip('"`[]').lower())
    return Kind(verb)


def trimmed(sql: str) -> str:
    """Cut a semicolon off the end, which D1 would read as the beginning of an empty statement.

    Raises:
        sqlite3.ProgrammingError: there are several statements.
    """
    if ";" not in sql:
        return sql
    tokens = list(_tokens(sql))
    while tokens and tokens[-1][1] == ";":
        sql = sql[: tokens.pop()[0]]
    if tokens and tokens[0][1].upper() not in DEFINES and any(word == ";" for _at, word in tokens):
        raise sqlite3.ProgrammingError("You can only execute one statement at a time.")
    return sql


def trigger_writes(sql: str) -> set[str]:
    """Name the tables that a trigger writes, lower case."""
    body = [at for at, word in _tokens(sql) if word.upper() == "BEGIN"]
    ends = [at for at, word in _tokens(sql) if word == ";"]
    if not body:
        return set()
    starts = [body[0] + len("BEGIN"), *(end + 1 for end in ends)]
    return {kind(sql[start:]).table for start in starts} - {""}


def fleeting(sql: str) -> str | None:
    """Name what a statement asks the clock or chance for, if it does. The compiler writes the clock as a literal."""
    lower = sql.lower()
    return next((word for word in FLEETING[: 1 if isinstance(sql, SQL) else None] if word in lower), None)


def has_returning(sql: str) -> bool:
    """Tell whether a write gives rows."""
    return "returning" in sql.lower() and any(word.upper() == "RETURNING" for _at, word in _tokens(sql))


def _tokens(sql: str) -> Iterator[tuple[int, str]]:
    """Give the words and semicolons outside of parentheses, texts and comments, each with its place.

    A quoted name is a word with its quotes.
    """
    at, depth, end = 0, 0, len(sql)
    while at < end:
        char, start = sql[at], at
        if sql.startswith("--", at):
            at = _after(sql, "\n", at)
        elif sql.startswith("/*", at):
            at = _after(sql, "*/", at)
        elif char in "'\"`[":
            at = _after(sql, "]" if char == "[" else char, at + 1)
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


def _after(sql: str, mark: str, at: int) -> int:
    found = sql.find(mark, at)
    return len(sql) if found < 0 else found + len(mark)
