"""Values to D1 and back, exactly.

To D1 they go as SQL literals: a number that JavaScript binds becomes a REAL, and statements without bindings
can be joined into one element of a batch. Long texts and blobs, texts with NUL and floats whose decimal form
SQLite might read differently are bound. They come back as JSON that SQLite itself writes: JavaScript's
numbers would round integers beyond 2**53.
"""

import base64
import datetime
import decimal
import json
import math
import re
import sqlite3
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

from django.db import DataError, NotSupportedError

from .tokens import tokenize

MAX_SQL = 100_000  # bytes of a statement, D1's limit
MAX_BOUND = 100  # parameters of a statement, D1's limit
MAX_BLOB = 1_000_000  # bytes: it comes back in hex, and D1 returns 2 MB
MAX_ROW = 2_100_000  # bytes of a row as JSON; D1's engine returns 100,000 more
INLINE_LENGTH = 1_000  # characters; a text up to this length is always a literal
MAX_INLINE_LENGTH = 20_000  # characters; a longer text never is a literal
MAX_ARGUMENTS = 30  # of one SQL function; D1 takes 32
EXACT_FLOATS = (1e-5, 1e15)  # between these, 17 digits give back a float exactly

MAX_JSON_GROWTH = 6  # of a text's characters: \u0001
SIZED = (str, bytes, bytearray, memoryview)

_PLACEHOLDER = re.compile(r"%%|%s|%\(([^)]*)\)s")
# a placeholder after BY or, beyond it, after a comma
_MAY_BE_TERM = re.compile(r"\bBY\b(?:\s+|.*,\s*)%[s(]", re.IGNORECASE | re.DOTALL)
AFTER_LIST = ("LIMIT", "HAVING", "WINDOW", "ROWS", "RANGE", "GROUPS", "UNION", "INTERSECT", "EXCEPT", "ORDER")

Bound = str | float | bytes
Row: TypeAlias = tuple[Any, ...]


class Statement(NamedTuple):
    """SQL as D1 receives it: with values as literals, and the few that cannot be literals bound."""

    sql: str
    bound: tuple[Bound, ...] = ()

    def encoded(self) -> list[Any]:
        """Return it in the gateway's protocol: [sql] or [sql, parameters]."""
        if not self.bound:
            return [self.sql]
        return [
            self.sql,
            [
                {"blob": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
                for value in self.bound
            ],
        ]


def render(sql: str, parameters: Any) -> Statement:
    """Return SQL with its parameters in place of Django's placeholders (`%s`, `%(name)s`).

    With None for the parameters the SQL is unchanged.

    Raises:
        sqlite3.ProgrammingError: number or names of the parameters do not fit, or a type is unknown.
        sqlite3.DataError, OverflowError: a value that SQLite cannot hold.
    """
    if parameters is None:
        return Statement(str(sql))
    bound: list[Bound] = []
    terms = _terms(sql) if _MAY_BE_TERM.search(sql) else set()
    try:
        if isinstance(parameters, Mapping):
            # one name may stand in several places
            places = [found for found in _PLACEHOLDER.finditer(sql) if found[1]]
            sql = re.sub(_PLACEHOLDER, lambda found: "%s" if found[1] else found[0], sql)
            parameters = [parameters[found[1]] for found in places]
        filled = sql % tuple(
            [
                f"({render_value(value, bound)}+0)"
                if number in terms and isinstance(value, int)
                else render_value(value, bound)
                for number, value in enumerate(parameters)
            ]
        )
    except UnicodeEncodeError:
        raise
    except (TypeError, ValueError, KeyError) as error:
        raise sqlite3.ProgrammingError(f"The parameters do not fit the placeholders: {error}.") from error
    return Statement(filled, tuple(bound))


def _terms(sql: str) -> set[int]:
    """Return the numbers of the placeholders with which a term of ORDER BY or GROUP BY begins.

    There an integer is the number of a column, while one that SQLite binds is a constant, as `(5+0)` is.
    """
    starts = [found.start() for found in _PLACEHOLDER.finditer(sql) if found[0] != "%%"]
    numbers = {start: number for number, start in enumerate(starts)}
    terms: set[int] = set()
    begins: dict[int, bool] = {}  # in a list at this depth of parentheses: whether a term begins here
    for token in tokenize(sql):
        if token.keyword == "BY" or (token.source == "," and token.depth in begins):
            begins[token.depth] = True
        elif token.keyword in AFTER_LIST:
            begins.pop(token.depth, None)
        elif token.source == ")":
            begins.pop(token.depth + 1, None)
        elif begins.get(token.depth):
            begins[token.depth] = False
            if token.start in numbers:
                terms.add(numbers[token.start])
    return terms


def literal(value: Any) -> str:
    """Return a value of any size as a literal, for logs and `connection.queries`."""
    bound: list[Bound] = []
    placed = render_value(value, bound)
    if not bound:
        return placed
    if isinstance(bound[0], bytes):
        return f"x'{bound[0].hex()}'"
    return quoted(bound[0]) if isinstance(bound[0], str) else repr(bound[0])


def render_value(value: Any, bound: list[Bound]) -> str:
    """Return the literal for a value, or append it to `bound` and return its placeholder."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, str):
        return _render_text(value, bound)
    if isinstance(value, int):
        return _render_integer(value)
    if isinstance(value, float):
        return _render_float(value, bound)
    if isinstance(value, (bytes, bytearray, memoryview)):
        blob = bytes(value)
        return f"x'{blob.hex()}'" if len(blob) <= MAX_INLINE_LENGTH // 2 else _bind(blob, bound)
    if isinstance(value, decimal.Decimal):
        return _render_text(str(value), bound)
    if isinstance(value, datetime.datetime):
        return quoted(value.isoformat(" "))
    if isinstance(value, (datetime.date, datetime.time)):
        return quoted(value.isoformat())
    # adapters registered with sqlite3 apply here as well
    adapted: Any = sqlite3.adapt(value, sqlite3.PrepareProtocol, value)
    if adapted is value:
        raise sqlite3.ProgrammingError(f"A value of type {type(value).__name__} cannot be given to D1.")
    return render_value(adapted, bound)


def _bind(value: Bound, bound: list[Bound]) -> str:
    bound.append(value)
    return f"?{len(bound)}"


def _render_integer(value: int) -> str:
    if not -(2**63) <= value < 2**63:
        raise OverflowError("Python int too large to convert to SQLite INTEGER")
    return str(int(value)) if value != -(2**63) else "(-9223372036854775807-1)"


def _render_text(value: str, bound: list[Bound]) -> str:
    value = str.__str__(value)
    value.encode()  # raises for a lone surrogate, which JavaScript would replace silently
    fits = len(value) <= INLINE_LENGTH or (len(bound) >= MAX_BOUND and len(value) <= MAX_INLINE_LENGTH)
    return quoted(value) if fits and "\0" not in value else _bind(value, bound)


def quoted(value: str) -> str:
    """Return a text as a literal. SQLite has no escape but the doubled quote."""
    return "'" + value.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return a name as a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def _render_float(value: float, bound: list[Bound]) -> str:
    written = plain_float(value)
    if written is not None:
        return written
    if len(bound) < MAX_BOUND:
        return _bind(float(value), bound)
    mantissa, exponent = math.frexp(value)
    shift = max(exponent - 53, -1074)
    return f"({int(math.ldexp(mantissa, exponent - shift))}*pow(2.0,{shift}))"


def plain_float(value: float) -> str | None:
    """Return a float as a literal; None where SQLite might read another value."""
    if not math.isfinite(value):
        return "NULL" if math.isnan(value) else "9e999" if value > 0 else "-9e999"
    written = repr(float(value))
    digits, _e, exponent = written.partition("e")
    # SQLite reads up to 15 digits times a small power of ten exactly: one correctly rounded division or
    # product
    return written if len(digits) <= 16 and (not exponent or abs(int(exponent)) <= 6) else None


def check_limits(statement: Statement) -> Statement:
    """Return the statement. Raises `NotSupportedError` or `DataError` with the limit that it exceeds."""
    if len(statement.bound) > MAX_BOUND:
        raise NotSupportedError(
            f"D1 takes at most {MAX_BOUND} bound parameters; this statement has {len(statement.bound)} long "
            "texts, blobs or floats. Write fewer rows at once."
        )
    for value in statement.bound:
        if isinstance(value, bytes) and len(value) > MAX_BLOB:
            raise DataError(
                f"D1 returns blobs of at most {MAX_BLOB:,} bytes; this one has {len(value):,}. "
                "Keep it in a file."
            )
    if len(statement.sql) > MAX_SQL // 4 and len(statement.sql.encode()) > MAX_SQL:
        raise NotSupportedError(
            f"D1 takes at most {MAX_SQL:,} bytes of SQL; this statement has {len(statement.sql.encode()):,}. "
            "Write fewer rows or compare with fewer values at once."
        )
    return statement


def check_readable(parameters: Any, rows: int | None) -> None:
    """Raise `DataError` for values that D1 would write and could not return: rows come back as JSON.

    `rows` is the number of rows that the parameters fill, in equal parts; None if that is not known.
    """
    if parameters is None:
        return
    values = list(parameters.values() if isinstance(parameters, Mapping) else parameters)
    if MAX_JSON_GROWTH * sum(len(value) for value in values if isinstance(value, SIZED)) <= MAX_ROW:
        return
    each = len(values) // rows if rows else 1
    for at in range(0, len(values), max(each, 1)):
        length = sum(_json_length(value) for value in values[at : at + each])
        if length > MAX_ROW:
            raise DataError(
                "D1 returns rows of at most 2 MB as JSON, in which a control character takes 6 bytes and a "
                f"byte of a blob 2; this one would have {length:,} bytes. Keep it in a file."
            )


def _json_length(value: Any) -> int:
    """Return the bytes of a text or blob in JSON as SQLite writes it; 0 for what is short."""
    if isinstance(value, str):
        return len(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
    return 2 * memoryview(value).nbytes if isinstance(value, bytes | bytearray | memoryview) else 0


# ── Reading ──────────────────────────────────────────────────────────────────────────────────────────────


def cell(column: str, *, exact: bool = True) -> str:
    """Return the SQL of one column's value in a JSON array, as `decode` reads it.

    A text is itself, a blob is `["hex", 1]`, a float is `["1.5"]`. SQLite's 17 digits are not exact outside
    of `EXACT_FLOATS`: there `exact` makes it `["mantissa|exponent"]` (base 2), scaled up first where a power
    of two could overflow. That takes four times as much SQL and is rarely needed, so it is used only after
    such a float was read.
    """
    real = f"printf('%!.17g',{column})"
    if exact:
        scaled = f"{column}*CASE WHEN abs({column})<1 THEN pow(2.0,600) ELSE 1.0 END"
        exponent = "CAST(floor(log2(abs(y))) AS INTEGER)"
        pair = (
            f"(SELECT printf('%d|%d',y*pow(2.0,53-{exponent}),{exponent}-53-"
            f"CASE WHEN abs({column})<1 THEN 600 ELSE 0 END) FROM (SELECT {scaled} AS y))"
        )
        low, high = EXACT_FLOATS
        plain = f"{column}=0 OR abs({column})BETWEEN {low} AND {high} OR abs({column})=9e999"
        real = f"CASE WHEN {plain} THEN {real} ELSE {pair} END"
    return (
        f"CASE typeof({column})WHEN'text'THEN {column}||''WHEN'real'THEN json_array({real})"
        f"WHEN'blob'THEN json_array(hex({column}),1)ELSE {column} END"
    )


def row(columns: Sequence[str], *, exact: bool = True) -> str:
    """Return the SQL of columns as one JSON array; more than a function takes are arrays in an array."""
    cells = [cell(column, exact=exact) for column in columns]
    if len(cells) <= MAX_ARGUMENTS:
        return f"json_array({','.join(cells)})"
    parts = [
        f"json_array({','.join(cells[at : at + MAX_ARGUMENTS])})"
        for at in range(0, len(cells), MAX_ARGUMENTS)
    ]
    return f"json_array({','.join(parts)})"


class InexactFloat(Exception):
    """A float is in the range where SQLite's digits are not exact: read again with exact cells."""


def decode(text: str, columns: int) -> list[Row]:
    """Return the rows of a JSON array of the arrays that `row` wrote. Raises `InexactFloat`."""
    rows = json.loads(text)
    if columns > MAX_ARGUMENTS:
        rows = [list(chain.from_iterable(parts)) for parts in rows]
    return [tuple([_value(value) if type(value) is list else value for value in values]) for values in rows]


def _value(written: list[Any]) -> float | bytes:
    if len(written) == 2:
        return bytes.fromhex(written[0])
    mantissa, bar, exponent = written[0].partition("|")
    if bar:
        return math.ldexp(int(mantissa), int(exponent))
    value = float(mantissa)
    if value and not EXACT_FLOATS[0] <= abs(value) <= EXACT_FLOATS[1] and math.isfinite(value):
        raise InexactFloat
    return value
