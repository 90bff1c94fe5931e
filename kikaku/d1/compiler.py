"""SQL for D1: expressions that it lacks are rewritten, and each statement carries what its cursor must know."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from functools import cache
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db.models import AutoField
from django.db.models.constants import OnConflict
from django.db.models.expressions import Col, ColPairs
from django.db.models.sql import compiler
from django.db.models.sql.constants import MULTI, SINGLE

from .functions import REWRITES
from .statements import SQL
from .values import literal, render, row

TERMS = 5  # of UNION, INTERSECT or EXCEPT; D1 takes no more


@cache
def _rewrites(kind: type) -> list[Any]:
    """Return what may rewrite an expression of this class, its own rewrite before those of its bases."""
    return [REWRITES[base] for base in kind.__mro__ if base in REWRITES]


class SQLCompiler(compiler.SQLCompiler):
    """Compiles a SELECT."""

    extra_columns = 0  # selected for ORDER BY beside what was asked for

    def execute_sql(self, result_type: Any = MULTI, *args: Any, **kwargs: Any) -> Any:
        """Run the query. One about no model is `Q.check`, once for each constraint of a form: Python's SQLite can do it.

        What names a table all the same, or a function that this SQLite does not have, goes to D1.
        """
        if self.query.model is None and result_type == SINGLE:
            with suppress(sqlite3.Error, EmptyResultSet), closing(sqlite3.connect(":memory:")) as here:
                return here.execute(*render(*self.as_sql())).fetchone()
        return super().execute_sql(result_type, *args, **kwargs)

    @property
    def in_ddl(self) -> bool:
        """Whether what is compiled stays in the schema: the clock then remains a function."""
        return bool(self.connection.compiling_schema)

    def compile(self, node: Any) -> tuple[str, Any]:
        """Compile an expression, by the table of rewrites where D1 needs another SQL."""
        for rewrite in _rewrites(node.__class__):
            found: tuple[str, Any] | None = rewrite(node, self, self.connection)
            if found is not None:
                return found
        compiled: tuple[str, Any] = super().compile(node)
        return compiled

    def pre_sql_setup(self, with_col_aliases: bool = False) -> Any:
        """Note how many columns the SQL will select."""
        extra_select, order_by, group_by = super().pre_sql_setup(with_col_aliases=with_col_aliases)
        self.extra_columns = len(extra_select)
        return extra_select, order_by, group_by

    def as_sql(self, *args: Any, **kwargs: Any) -> tuple[str, Any]:
        """Return the SQL with the number of its columns, and whether its rows must stand still."""
        text, parameters = super().as_sql(*args, **kwargs)
        sql = SQL(text)
        sql.columns = self.columns()
        if self.query.select_for_update:
            sql.locks = self.locked()
        return sql, parameters

    def locked(self) -> tuple[tuple[str, int], ...]:
        """Find the keys among the columns: with them, a lock of the row excludes every other."""
        return tuple(
            (column.target.model._meta.db_table, at)
            for at, (column, _sql, _alias) in enumerate(self.select)
            if isinstance(column, Col) and column.target.primary_key
        )

    def columns(self) -> int | None:
        """Count the columns of the rows; None where only D1 can tell."""
        if self.query.combinator or self.query.explain_info or self.qualify:
            return None
        width = sum(
            len(column) if isinstance(column, ColPairs) else 1 for column, _sql, _alias in self.select
        )
        return width + self.extra_columns

    def get_combinator_sql(self, combinator: str, all: bool) -> tuple[list[str], list[Any]]:
        """Nest a compound of more than five terms, from the left as SQL reads it."""
        terms = self.query.combined_queries
        if len(terms) <= TERMS:
            return super().get_combinator_sql(combinator, all)
        inner = self.query.clone()
        inner.combined_queries = terms[: -TERMS + 1]
        inner.clear_ordering(force=True)
        inner.clear_limits()
        self.query.combined_queries = (inner, *terms[-TERMS + 1 :])
        return self.get_combinator_sql(combinator, all)


class SQLAggregateCompiler(compiler.SQLAggregateCompiler, SQLCompiler):
    """Compiles an aggregation over a subquery."""

    def as_sql(self) -> tuple[str, Any]:
        """Return the SQL with the number of its columns."""
        text, parameters = super().as_sql()
        sql = SQL(text)
        sql.columns = self.columns()
        return sql, parameters

    def columns(self) -> int | None:
        """Count the aggregates."""
        return len(self.query.annotation_select)


class SQLInsertCompiler(compiler.SQLInsertCompiler, SQLCompiler):
    """Compiles an INSERT. Within a block its ids are reserved first, because a trial can not keep any."""

    ids: Mapping[int, int] = {}  # reserved, by the `id()` of the object that gets it

    def execute_sql(self, returning_fields: Sequence[Any] | None = None) -> list[Any]:
        """Insert, and return the asked fields of each row."""
        self.ids = {}
        if self.connection.get_autocommit():
            return super().execute_sql(returning_fields)
        self._reserve_ids()
        asked = list(returning_fields or ())
        if self.ids and asked == [self.query.get_meta().auto_field] and self.query.on_conflict is None:
            super().execute_sql()
            rows: Any = [(key,) for key in self.ids.values()]
            converters = self.get_converters([asked[0].get_col(self.query.get_meta().db_table)])
            return list(self.apply_converters(rows, converters) if converters else rows)
        return super().execute_sql(returning_fields)

    def _reserve_ids(self) -> None:
        """Give each object the id that it will have, where the database would choose it."""
        meta = self.query.get_meta()
        field = meta.auto_field
        if field is None or field in self.query.fields or not self.query.objs:
            return
        if field.model._meta.db_table != meta.db_table:
            return
        if self.query.on_conflict == OnConflict.IGNORE:
            return  # Django sets no ids on these objects
        with self.connection.wrap_database_errors:
            ids = self.connection.connection.reserve_ids(meta.db_table, len(self.query.objs))
        if ids is not None:
            self.ids = {id(one): key for one, key in zip(self.query.objs, ids, strict=True)}
            self.query.fields = [field, *self.query.fields]

    def pre_save_val(self, field: Any, obj: Any) -> Any:
        """Return the value that an object gives a field."""
        if self.ids and isinstance(field, AutoField) and field.primary_key:
            return self.ids[id(obj)]
        return super().pre_save_val(field, obj)

    def as_sql(self) -> list[tuple[str, Any]]:
        """Return the statements; one that returns fields has the SELECT that stands for RETURNING in a block."""
        asked, in_block = self.returning_fields, not self.connection.get_autocommit()
        self.returning_fields = None  # Django's RETURNING would give numbers as JavaScript has them
        try:
            made = compiler.SQLInsertCompiler.as_sql(self)
        finally:
            self.returning_fields = asked
        found: list[tuple[str, Any]] = []
        for text, parameters in made:
            sql = SQL(text if in_block or not asked else f"{text} RETURNING {self._returned(asked)}")
            sql.reserved = bool(self.ids)
            sql.sure = (
                in_block and self.query.on_conflict is None and (sql.reserved or not self._generates_id())
            )
            if asked:
                sql.columns = len(asked)
                if in_block:
                    sql.returning = self._returning(asked)
            found.append((sql, parameters))
        return found

    def _returned(self, asked: Sequence[Any]) -> str:
        quote = self.connection.ops.quote_name
        table = quote(self.query.get_meta().db_table)
        # a literal % would be a placeholder's
        return row([f"{table}.{quote(field.column)}" for field in asked]).replace("%", "%%") + " AS j"

    def _generates_id(self) -> bool:
        auto = self.query.get_meta().auto_field
        return auto is not None and auto not in self.query.fields

    def _returning(self, asked: Sequence[Any]) -> str:
        """Select the asked fields of the rows just inserted, in their order."""
        quote = self.connection.ops.quote_name
        table = quote(self.query.get_meta().db_table)
        columns = ", ".join(quote(field.column) for field in asked)
        select = f"SELECT {columns} FROM {table}"
        keys = self._key_values()
        if keys is None:  # ids that SQLite chose just now: one after the other
            count = len(self.query.objs)
            return f"{select} WHERE rowid > last_insert_rowid() - {count} ORDER BY rowid"
        names, rows = keys
        listed = ", ".join(f"({number}, {', '.join(values)})" for number, values in enumerate(rows))
        held = ", ".join(["n", *(f"k{number}" for number in range(len(names)))])
        matches = " AND ".join(f"{table}.{quote(name)} = k.k{number}" for number, name in enumerate(names))
        return (
            f"WITH k({held}) AS (VALUES {listed}) "
            f"SELECT {', '.join(f'{table}.{quote(field.column)}' for field in asked)} "
            f"FROM k JOIN {table} ON {matches} ORDER BY k.n"
        )

    def _key_values(self) -> tuple[list[str], list[list[str]]] | None:
        """Return the columns by which the rows are found again, and their values as SQL literals."""
        query = self.query
        fields = list(query.unique_fields) or list(query.get_meta().pk_fields)
        if any(field not in query.fields for field in fields):
            return None
        rows = [
            [self.prepare_value(field, self.pre_save_val(field, obj)) for field in fields]
            for obj in query.objs
        ]
        if any(hasattr(value, "as_sql") for values in rows for value in values):
            return None
        return [field.column for field in fields], [list(map(literal, values)) for values in rows]


class SQLDeleteCompiler(compiler.SQLDeleteCompiler, SQLCompiler):
    """Compiles a DELETE."""


class SQLUpdateCompiler(compiler.SQLUpdateCompiler, SQLCompiler):
    """Compiles an UPDATE."""
