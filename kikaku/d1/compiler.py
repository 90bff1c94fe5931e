"""SQL for D1: expressions that it lacks are rewritten, and each statement carries facts for its cursor."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from functools import cache
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import NotSupportedError
from django.db.models import AutoField, CompositePrimaryKey
from django.db.models.constants import OnConflict
from django.db.models.expressions import Col, ColPairs
from django.db.models.sql import compiler
from django.db.models.sql.constants import MULTI, SINGLE

from .functions import REWRITES
from .statements import LOCKED_SUBQUERY, SQL
from .values import literal, render, row

MAX_COMPOUND_TERMS = 5  # of UNION, INTERSECT or EXCEPT


@cache
def _rewrites(kind: type) -> list[Any]:
    """Return the rewrites of an expression class, its own before those of its bases."""
    return [REWRITES[base] for base in kind.__mro__ if base in REWRITES]


class SQLCompiler(compiler.SQLCompiler):
    """Compiles a SELECT."""

    extra_select: Sequence[Any] = ()  # beside the requested columns: for ORDER BY, and the key of locked rows
    ordering: Sequence[Any] = ()  # expressions of ORDER BY

    def execute_sql(self, result_type: Any = MULTI, *args: Any, **kwargs: Any) -> Any:
        """Run the query. One without a model comes from `Q.check` and runs in Python's SQLite.

        Forms do that once for each constraint. One that names a table all the same, or a function that
        Python's SQLite does not have, goes to D1.
        """
        if self.query.model is None and result_type == SINGLE:
            with suppress(sqlite3.Error, EmptyResultSet), closing(sqlite3.connect(":memory:")) as local:
                return local.execute(*render(*self.as_sql())).fetchone()
        return super().execute_sql(result_type, *args, **kwargs)

    @property
    def is_ddl(self) -> bool:
        """Return whether the SQL becomes part of the schema: the clock then stays a function."""
        return bool(self.connection.is_compiling_schema)

    def compile(self, node: Any) -> tuple[str, Any]:
        """Return the SQL of an expression, by a rewrite where D1 needs other SQL than SQLite."""
        for rewrite in _rewrites(node.__class__):
            rewritten: tuple[str, Any] | None = rewrite(node, self, self.connection)
            if rewritten is not None:
                return rewritten
        compiled: tuple[str, Any] = super().compile(node)
        return compiled

    def pre_sql_setup(self, with_col_aliases: bool = False) -> Any:
        """Return what the base class does, and record how many columns the SQL will select."""
        extra_select, order_by, group_by = super().pre_sql_setup(with_col_aliases=with_col_aliases)
        self.extra_select = extra_select
        self.ordering = [expression for expression, _compiled in order_by]
        return extra_select, order_by, group_by

    def as_sql(self, *args: Any, **kwargs: Any) -> tuple[str, Any]:
        """Return the SQL with the number of its columns and the keys of the rows that it locks."""
        text, parameters = super().as_sql(*args, **kwargs)
        if self.query.select_for_update and self.query.subquery:
            return f"{text} {LOCKED_SUBQUERY}", parameters
        sql = SQL(text)
        sql.columns = self.column_count()
        if self.query.select_for_update:
            sql.locks = self.locked_keys()
        else:
            sql.page_key = self.page_key()
        return sql, parameters

    def get_extra_select(self, order_by: Any, select: Any) -> list[Any]:
        """Return the columns beside the requested ones: also a locked row's key that values() leaves out."""
        extra: list[Any] = super().get_extra_select(order_by, select)
        key = self.query.get_meta().pk if self.query.select_for_update and self.query.model else None
        may_add = not (self.query.distinct or self.query.combinator or self.query.group_by is not None)
        if key is not None and may_add and not isinstance(key, CompositePrimaryKey):
            column = key.get_col(self.query.get_initial_alias())
            if column not in [expression for expression, _compiled, _alias in [*select, *extra]]:
                extra.append((column, self.compile(column), None))
        return extra

    def locked_keys(self) -> tuple[tuple[str, int], ...]:
        """Return (table, position) of the primary keys among the columns, which make a lock exclusive.

        Raises `NotSupportedError` where the rows have none, as PostgreSQL does: after distinct() for example.
        """
        of = self.query.select_for_update_of and self.get_select_for_update_of_arguments()
        keys = tuple(
            (column.target.model._meta.db_table, at)
            for at, (column, _sql, _alias) in enumerate([*self.select, *self.extra_select])
            if isinstance(column, Col)
            and column.target.primary_key
            and (not of or self.quote_name_unless_alias(column.alias) in of)
        )
        if not keys and not isinstance(self.query.get_meta().pk, CompositePrimaryKey):
            raise NotSupportedError(
                "select_for_update() needs the primary key of each row: it is not supported with distinct(), "
                "union() or aggregation."
            )
        return keys

    def page_key(self) -> tuple[int, bool] | None:
        """Return (position, descending) of the primary key if rows can be read in pages by it.

        So it is if a row of the model comes once, and in its order or in any.
        """
        query = self.query
        if query.combinator or query.is_sliced or query.explain_info or self.qualify or self.has_many():
            return None
        descends = False
        for first in self.ordering[:1]:  # the key is unique: what follows it does not matter
            if not self.is_primary_key(first.expression):
                return None
            descends = first.descending
        columns = [column for column, _sql, _alias in self.select]
        positions = [at for at, column in enumerate(columns) if self.is_primary_key(column)]
        return (positions[0], descends) if positions else None

    def is_primary_key(self, expression: Any) -> bool:
        """Return whether an expression is the primary key of the query's own model."""
        return (
            isinstance(expression, Col)
            and expression.target.primary_key
            and expression.alias == self.query.base_table
        )

    def has_many(self) -> bool:
        """Return whether a row of the model may come several times: a relation to many is joined."""
        query: Any = self.query
        joins = (query.alias_map[alias] for alias, count in query.alias_refcount.items() if count)
        fields = [join.join_field for join in joins if join.parent_alias]
        # of other relations, a generic one calls itself many_to_one, too
        to_one = (field.one_to_one or (field.many_to_one and field.concrete) for field in fields)
        return bool(query.extra_tables) or not all(to_one)

    def column_count(self) -> int | None:
        """Return the number of columns of the rows; None where only D1 knows it."""
        if self.query.combinator or self.query.explain_info or self.qualify:
            return None
        width = sum(
            len(column) if isinstance(column, ColPairs) else 1 for column, _sql, _alias in self.select
        )
        return width + len(self.extra_select)

    def get_combinator_sql(self, combinator: str, all: bool) -> tuple[list[str], list[Any]]:
        """Return the SQL of a compound; more than five terms are nested, from the left as SQL reads them."""
        terms = self.query.combined_queries
        if len(terms) <= MAX_COMPOUND_TERMS:
            return super().get_combinator_sql(combinator, all)
        inner = self.query.clone()
        inner.combined_queries = terms[: -MAX_COMPOUND_TERMS + 1]
        inner.clear_ordering(force=True)
        inner.clear_limits()
        self.query.combined_queries = (inner, *terms[-MAX_COMPOUND_TERMS + 1 :])
        return self.get_combinator_sql(combinator, all)


class SQLAggregateCompiler(compiler.SQLAggregateCompiler, SQLCompiler):
    """Compiles an aggregation over a subquery."""

    def as_sql(self) -> tuple[str, Any]:
        """Return the SQL with the number of its columns."""
        text, parameters = super().as_sql()
        sql = SQL(text)
        sql.columns = self.column_count()
        return sql, parameters

    def column_count(self) -> int | None:
        """Return the number of aggregates."""
        return len(self.query.annotation_select)


class SQLInsertCompiler(compiler.SQLInsertCompiler, SQLCompiler):
    """Compiles an INSERT. Within a block its ids are reserved first, because a dry run cannot keep any."""

    reserved_ids: Mapping[int, int] = {}  # by the `id()` of the object

    def execute_sql(self, returning_fields: Sequence[Any] | None = None) -> list[Any]:
        """Insert the objects, and return the requested fields of each row."""
        self.reserved_ids = {}
        if self.connection.get_autocommit():
            return super().execute_sql(returning_fields)
        self._reserve_ids()
        requested = list(returning_fields or ())
        if (
            self.reserved_ids
            and requested == [self.query.get_meta().auto_field]
            and self.query.on_conflict is None
        ):
            super().execute_sql()
            rows: Any = [(key,) for key in self.reserved_ids.values()]
            converters = self.get_converters([requested[0].get_col(self.query.get_meta().db_table)])
            return list(self.apply_converters(rows, converters) if converters else rows)
        return super().execute_sql(returning_fields)

    def _reserve_ids(self) -> None:
        """Reserve an id for each object, where the database would choose it."""
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
            self.reserved_ids = {id(one): key for one, key in zip(self.query.objs, ids, strict=True)}
            self.query.fields = [field, *self.query.fields]

    def pre_save_val(self, field: Any, obj: Any) -> Any:
        """Return the value of an object's field, or its reserved id."""
        if self.reserved_ids and isinstance(field, AutoField) and field.primary_key:
            return self.reserved_ids[id(obj)]
        return super().pre_save_val(field, obj)

    def as_sql(self) -> list[tuple[str, Any]]:
        """Return the statements; in a block, they have the SELECT that replaces RETURNING."""
        requested, in_block = self.returning_fields, not self.connection.get_autocommit()
        self.returning_fields = None  # Django's RETURNING would return numbers as JavaScript has them
        try:
            compiled = compiler.SQLInsertCompiler.as_sql(self)
        finally:
            self.returning_fields = requested
        statements: list[tuple[str, Any]] = []
        for text, parameters in compiled:
            sql = SQL(
                text
                if in_block or not requested
                else f"{text} RETURNING {self._returning_expression(requested)}"
            )
            sql.has_reserved_ids = bool(self.reserved_ids)
            if len(parameters) % max(len(self.query.objs), 1) == 0 and len(compiled) == 1:
                sql.rows = len(self.query.objs)
            sql.skip_count_guard = (
                in_block
                and self.query.on_conflict is None
                and (sql.has_reserved_ids or not self._generates_id())
            )
            if requested:
                sql.columns = len(requested)
                if in_block:
                    sql.returning = self._returning_select(requested)
            statements.append((sql, parameters))
        return statements

    def _returning_expression(self, fields: Sequence[Any]) -> str:
        quote = self.connection.ops.quote_name
        table = quote(self.query.get_meta().db_table)
        # a literal % would start a placeholder
        return row([f"{table}.{quote(field.column)}" for field in fields]).replace("%", "%%") + " AS j"

    def _generates_id(self) -> bool:
        auto = self.query.get_meta().auto_field
        return auto is not None and auto not in self.query.fields

    def _returning_select(self, fields: Sequence[Any]) -> str:
        """Return the SELECT of fields of the rows just inserted, in their order."""
        quote = self.connection.ops.quote_name
        table = quote(self.query.get_meta().db_table)
        columns = ", ".join(quote(field.column) for field in fields)
        select = f"SELECT {columns} FROM {table}"
        keys = self._key_values()
        if keys is None:  # ids that SQLite chose: consecutive numbers
            count = len(self.query.objs)
            return f"{select} WHERE rowid > last_insert_rowid() - {count} ORDER BY rowid"
        names, rows = keys
        listed = ", ".join(f"({number}, {', '.join(values)})" for number, values in enumerate(rows))
        columns_of_k = ", ".join(["n", *(f"k{number}" for number in range(len(names)))])
        matches = " AND ".join(f"{table}.{quote(name)} = k.k{number}" for number, name in enumerate(names))
        return (
            f"WITH k({columns_of_k}) AS (VALUES {listed}) "
            f"SELECT {', '.join(f'{table}.{quote(field.column)}' for field in fields)} "
            f"FROM k JOIN {table} ON {matches} ORDER BY k.n"
        )

    def _key_values(self) -> tuple[list[str], list[list[str]]] | None:
        """Return the columns that identify the rows, and their values as SQL literals, if known."""
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

    def pre_sql_setup(self) -> None:
        """Prepare the query, without the lock of a queryset: an UPDATE needs none."""
        self.query.select_for_update = False
        super().pre_sql_setup()
