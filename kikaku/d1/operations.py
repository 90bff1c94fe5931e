"""SQLite's operations without its functions in Python, and with D1's limits."""

import datetime
import json
from collections.abc import Iterable, Sequence
from typing import Any

from django.conf import settings
from django.db.backends.sqlite3.operations import DatabaseOperations as SQLiteOperations
from django.db.models import CompositePrimaryKey

from . import temporal
from .values import INLINE_LENGTH, MAX_BOUND, MAX_INLINE_LENGTH, MAX_SQL, Statement, literal, plain_float

MAX_VALUE_BYTES = MAX_SQL - 10_000  # of a statement; the rest is for names and keywords
KEY_BYTES = (
    60  # bytes of `WHEN ("table"."id" = ` … ` THEN ` around a value of bulk_update(), without the names
)


class DatabaseOperations(SQLiteOperations):
    """Operations that need other SQL on D1 than on SQLite in Python's process."""

    compiler_module = f"{__package__}.compiler"

    # ── Dates and times ──────────────────────────────────────────────────────────────────────────────────

    def date_extract_sql(self, lookup_type: str, sql: str, params: Any) -> Any:
        """Return a part of a date."""
        return temporal.extract(lookup_type, (sql, params))

    def datetime_extract_sql(self, lookup_type: str, sql: str, params: Any, tzname: str | None) -> Any:
        """Return a part of a datetime."""
        return temporal.extract(lookup_type, (sql, params), *self._zones(tzname))

    def time_extract_sql(self, lookup_type: str, sql: str, params: Any) -> Any:
        """Return a part of a time."""
        return temporal.extract_from_time(lookup_type, (sql, params))

    def date_trunc_sql(self, lookup_type: str, sql: str, params: Any, tzname: str | None = None) -> Any:
        """Return the first day of a period."""
        return temporal.truncate_to_date(lookup_type, (sql, params), *self._zones(tzname))

    def datetime_trunc_sql(self, lookup_type: str, sql: str, params: Any, tzname: str | None) -> Any:
        """Return the first second of a period."""
        return temporal.truncate(lookup_type, (sql, params), *self._zones(tzname))

    def time_trunc_sql(self, lookup_type: str, sql: str, params: Any, tzname: str | None = None) -> Any:
        """Return the first second of a period of the day."""
        return temporal.truncate_to_time(lookup_type, (sql, params), *self._zones(tzname))

    def datetime_cast_date_sql(self, sql: str, params: Any, tzname: str | None) -> Any:
        """Return the date of a datetime."""
        return temporal.to_date((sql, params), *self._zones(tzname))

    def datetime_cast_time_sql(self, sql: str, params: Any, tzname: str | None) -> Any:
        """Return the time of a datetime."""
        return temporal.to_time((sql, params), *self._zones(tzname))

    def subtract_temporals(self, internal_type: str, lhs: Any, rhs: Any) -> Any:
        """Return the microseconds between two values."""
        subtract = temporal.subtract_times if internal_type == "TimeField" else temporal.subtract_datetimes
        return subtract(lhs, rhs)

    def combine_duration_expression(self, connector: str, sub_expressions: Sequence[str]) -> str:
        """Return a sum or difference with a duration, or a multiple of one."""
        left, right = sub_expressions
        return temporal.combine_durations(connector, left, right)

    def _zones(self, tzname: str | None) -> tuple[str | None, str | None]:
        """Return (requested zone, zone of stored datetimes), or two None where datetimes are naive."""
        return (tzname, self.connection.timezone_name) if tzname and settings.USE_TZ else (None, None)

    # ── Other expressions ────────────────────────────────────────────────────────────────────────────────

    def combine_expression(self, connector: str, sub_expressions: Any) -> str:
        """Return an arithmetic expression."""
        if connector == "^":  # D1 permits `power` under its other name only
            return f"pow({','.join(sub_expressions)})"
        if connector == "#":
            left, right = sub_expressions
            return temporal.table("(_l|_r)-(_l&_r)", l=(left, ()), r=(right, ()))[0]
        return str(super().combine_expression(connector, sub_expressions))

    def force_group_by(self) -> list[str]:
        """Return no columns: only SQLite before 3.39 needs a GROUP BY."""
        return []

    def for_update_sql(self, *args: Any, **kwargs: Any) -> str:
        """Return no SQL: the compiler marks the statement, and the connection guards the rows."""
        return ""

    # ── Sizes ────────────────────────────────────────────────────────────────────────────────────────────

    def bulk_batch_size(self, fields: Any, objs: Any) -> int:
        """Return how many of these objects a statement can take, by the bytes of SQL and the values to bind.

        Django passes fields for INSERTs, names for DELETEs, and "pk" twice and fields for UPDATEs, where each
        value comes with a key.
        """
        costs = _costs(list(fields), objs)
        longest = len(costs)
        sum_length = sum_bound = start = 0
        for end, (length, bound) in enumerate(costs):
            sum_length += length
            sum_bound += bound
            # the objects from `start` to before `end` fit
            while sum_length > MAX_VALUE_BYTES or sum_bound > MAX_BOUND:
                longest = min(longest, end - start)
                sum_length -= costs[start][0]
                sum_bound -= costs[start][1]
                start += 1
        return max(longest, 1)

    # ── SQL for debugging ────────────────────────────────────────────────────────────────────────────────

    def last_executed_query(self, cursor: Any, sql: str, params: Any) -> str:
        """Return SQL with its values as literals of any length."""
        return str(super().last_executed_query(cursor, sql, params))

    def _quote_params_for_last_executed_query(self, params: Iterable[Any]) -> tuple[str, ...]:
        """Return values as literals. SQLite's backend would ask its connection."""
        return tuple(literal(value) for value in params)

    # ── Flush ────────────────────────────────────────────────────────────────────────────────────────────

    def sql_flush(
        self, style: Any, tables: Any, *, reset_sequences: bool = False, allow_cascade: bool = False
    ) -> list[str]:
        """Return the statements that empty tables; tables that reference others come first."""
        tables = list(tables)
        if tables:
            references = self._references()
            if allow_cascade:
                tables = sorted({name for table in tables for name in _reachable(table, references)})
            tables = _children_first(tables, references)
        return list(super().sql_flush(style, tables, reset_sequences=reset_sequences, allow_cascade=False))

    def execute_sql_flush(self, sql_list: Any) -> None:
        """Empty tables in one batch, with foreign keys checked at its end."""
        self.connection.ensure_connection()
        with self.connection.wrap_database_errors:
            self.connection.connection.run_batch([Statement(sql.rstrip("; \n")) for sql in sql_list])

    def _references_graph(self, table_name: str) -> Any:
        """Return a table and those that reference it, directly or not."""
        return _reachable(table_name, self._references())

    def _references(self) -> dict[str, set[str]]:
        """Return {table: tables that reference it}. Not cached: the schema may change."""
        with self.connection.cursor() as cursor:
            cursor.execute(
                'SELECT k."table", t.name FROM sqlite_master AS t JOIN pragma_foreign_key_list(t.name) AS k '
                "WHERE t.type = 'table' AND substr(t.name, 1, 4) <> '_cf_'"  # D1 refuses its own tables
            )
            references: dict[str, set[str]] = {}
            for parent, child in cursor.fetchall():
                references.setdefault(parent, set()).add(child)
        return references


def _reachable(table: str, references: dict[str, set[str]]) -> list[str]:
    """Return a table and those that reference it, directly or not, in breadth-first order."""
    found, at = [table], 0
    while at < len(found):
        found += sorted(references.get(found[at], set()) - set(found))
        at += 1
    return found


def _children_first(tables: Sequence[str], references: dict[str, set[str]]) -> list[str]:
    """Return tables in an order in which each follows those that reference it; in a cycle, in any order."""
    ordered: dict[str, None] = {}
    for table in tables:
        for name in reversed(_reachable(table, references)):
            if name in tables:
                ordered.setdefault(name)
    return list(ordered)


def _costs(fields: list[Any], objects: Iterable[Any]) -> list[tuple[int, int]]:
    """Return estimates for each object: (bytes in a statement, number of values to bind)."""
    updates = fields[:2] == ["pk", "pk"]
    names: list[str] = []
    for field in fields[2:] if updates else fields:
        parts: Iterable[Any] = field.fields if isinstance(field, CompositePrimaryKey) else [field]
        names += [getattr(part, "attname", part) for part in parts]
    found = []
    for one in objects:
        # reading an attribute might query the database through a descriptor
        values = getattr(one, "__dict__", {})
        costs = [_cost(values.get(name)) for name in names]
        length = sum(cost for cost, _bound in costs)
        if updates:
            key, _bound = _cost(getattr(one, "pk", None))
            length += key + len(names) * (key + KEY_BYTES + 2 * len(one._meta.db_table))
        found.append((length, sum(bound for _cost, bound in costs)))
    return found


def _cost(value: Any) -> tuple[int, int]:
    """Return an estimate for a value: (bytes of SQL, 1 if it will be bound else 0). See `values.render`."""
    if value is None:
        return 32, 0  # may become the current time
    if isinstance(value, str):
        if len(value) > INLINE_LENGTH or "\0" in value:
            return 8, 1
        return len(value.encode(errors="replace")) + value.count("'") + 4, 0
    if isinstance(value, (bytes, bytearray, memoryview)):
        return (8, 1) if len(value) > MAX_INLINE_LENGTH // 2 else (2 * len(value) + 6, 0)
    if isinstance(value, float):
        return 32, int(plain_float(value) is None)
    if hasattr(value, "resolve_expression"):
        return 400, 0
    if isinstance(value, (dict, list, tuple)):
        length = len(json.dumps(value, default=str))
        return (8, 1) if length > INLINE_LENGTH else (length + 4, 0)
    return (32 if isinstance(value, datetime.date) else len(str(value))) + 4, 0
