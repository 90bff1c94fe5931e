"""Undo what a test committed: empty only the tables that hold rows.

Django's flush empties every table after each test that commits, and writes content types, permissions and the
chart of accounts anew. That takes up to a second; one query for the tables that hold rows, and one DELETE for
each of them, take milliseconds.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

from django.apps import apps
from django.core.management.color import no_style
from django.db import DatabaseError, connection, transaction
from django.db.models import ForeignKey
from django.test import TransactionTestCase

COLUMNS_PER_QUERY = 90  # of one question; D1 returns at most 100
COMPARED_ROWS = 150  # a table that migrations filled with more rows is compared by its number of rows alone
MANY_TO_MANY_ROWS = 600  # the same for one that joins two: its rows go with those of the smaller one

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Baseline:
    """What the models' tables held after the migrations."""

    counts: dict[str, int]  # of every table
    rows: dict[str, Rows]  # of the small tables that migrations filled

    @property
    def kept(self) -> list[str]:
        """Return the tables that are never emptied."""
        return [table for table, count in self.counts.items() if count]


def read_baseline() -> Baseline:
    """Return what the models' tables hold now."""
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    counts = dict(
        zip(tables, _ask([f"(SELECT COUNT(*) FROM {_quoted(table)})" for table in tables]), strict=True)
    )
    joins = {
        model._meta.db_table
        for model in apps.get_models(include_auto_created=True)
        if model._meta.auto_created
    }
    small = [
        table
        for table, count in counts.items()
        if 0 < count <= (MANY_TO_MANY_ROWS if table in joins else COMPARED_ROWS)
    ]
    return Baseline(counts, {table: _rows(table) for table in small})


def restore(baseline: Baseline) -> bool:
    """Empty the tables that tests filled, write anew the small ones of the migrations that tests changed.

    Returns whether all tables hold what they held in `baseline`.
    """
    kept = baseline.kept
    others = [table for table, count in baseline.counts.items() if not count]
    answers = _ask(
        [f"(SELECT COUNT(*) FROM {_quoted(table)})" for table in kept]
        + [f"EXISTS (SELECT 1 FROM {_quoted(table)})" for table in others]
    )
    counts, filled = answers[: len(kept)], answers[len(kept) :]
    _empty([table for table, holds_rows in zip(others, filled, strict=True) if holds_rows])
    changed = {table: rows for table, rows in baseline.rows.items() if _rows(table) != rows}
    if changed:
        changed |= {table: rows for table, rows in baseline.rows.items() if _parents(table) & changed.keys()}
        with suppress(DatabaseError):  # an append-only table
            _rewrite(changed)
            changed = {table: rows for table, rows in changed.items() if _rows(table) != rows}
    return not changed and all(
        count == baseline.counts[table]
        for table, count in zip(kept, counts, strict=True)
        if table not in baseline.rows
    )


def install(baseline: Baseline) -> None:
    """Let Django's test cases restore `baseline`; what restoring cannot mend, the usual flush does."""
    flush: Callable[[TransactionTestCase], None] = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]

    def teardown(case: TransactionTestCase) -> None:
        nonlocal baseline
        if case.available_apps is not None or case.serialized_rollback or not restore(baseline):
            flush(case)
            _rewrite({table: rows for table, rows in baseline.rows.items() if not _rows(table)})
            baseline = read_baseline()  # what the flush wrote anew has other keys

    TransactionTestCase._fixture_teardown = teardown  # type: ignore[attr-defined]


def _ask(expressions: Sequence[str]) -> list[Any]:
    """Return the values of SQL expressions."""
    values: list[Any] = []
    with connection.cursor() as cursor:
        for start in range(0, len(expressions), COLUMNS_PER_QUERY):
            cursor.execute(f"SELECT {', '.join(expressions[start : start + COLUMNS_PER_QUERY])}")
            values += cursor.fetchone()
    return values


def _rows(table: str) -> Rows:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {_quoted(table)} ORDER BY 1")
        return [tuple(row) for row in cursor.fetchall()]


def _parents(table: str) -> set[str]:
    """Return the tables that a table refers to."""
    models = {model._meta.db_table: model for model in apps.get_models(include_auto_created=True)}
    return {
        field.related_model._meta.db_table
        for field in models[table]._meta.concrete_fields
        if isinstance(field, ForeignKey) and not isinstance(field.related_model, str)
    }


def _rewrite(tables: Mapping[str, Rows]) -> None:
    models = {model._meta.db_table: model for model in apps.get_models(include_auto_created=True)}
    parents = {table: _parents(table) & tables.keys() - {table} for table in tables}
    order = list(TopologicalSorter(parents).static_order())
    with transaction.atomic(), connection.cursor() as cursor:
        for table in reversed(order):
            cursor.execute(f"DELETE FROM {_quoted(table)}")
        for table in order:
            for row in tables[table]:
                cursor.execute(f"INSERT INTO {_quoted(table)} VALUES ({', '.join(['%s'] * len(row))})", row)
        # the rows have their old ids, also after a test that began counting anew
        for statement in connection.ops.sequence_reset_sql(no_style(), [models[table] for table in order]):
            cursor.execute(statement)


def _empty(tables: Sequence[str]) -> None:
    if connection.vendor == "postgresql":  # its own way is TRUNCATE, which takes milliseconds for each table
        statements = [f"DELETE FROM {_quoted(table)}" for table in tables]
        with transaction.atomic(), connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    elif tables:
        connection.ops.execute_sql_flush(connection.ops.sql_flush(no_style(), tables))


def _quoted(table: str) -> str:
    return connection.ops.quote_name(table)
