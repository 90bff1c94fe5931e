"""Rows of a correlated query as one JSON column: a product with its variants and pictures takes one query."""

import json
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, IntegerField, QuerySet, Subquery, TextField
from django.db.models.sql.compiler import SQLCompiler


class JsonRows(Subquery):
    """The rows of a correlated query as one JSON text, in their order: `[{"sku": …}, …]`.

    Works on PostgreSQL, SQLite and D1, whose functions take at most 32 arguments: 16 columns. Parse the text
    with `rows()`.
    """

    # without the CAST, JSON rows inside other JSON rows would be nested JSON instead of a text
    template = (
        "(SELECT CAST(COALESCE(json_group_array(json_object(%(pairs)s)), '[]') AS TEXT)"
        " FROM (%(subquery)s) json_rows)"
    )
    postgresql_template = (
        "(SELECT COALESCE(json_agg(json_build_object(%(pairs)s))::text, '[]') FROM (%(subquery)s) json_rows)"
    )

    def __init__(self, queryset: QuerySet[Any, Any], *fields: str) -> None:
        """Select `fields` of `queryset`; names and lookups such as `stock__on_hand` are the keys."""
        if not 1 <= len(fields) <= 16:
            raise ValueError("JsonRows takes 1 to 16 fields.")
        columns: dict[str, Any] = {f"j{place}": F(field) for place, field in enumerate(fields)}
        pairs = ", ".join(f"'{field}', {column}" for field, column in zip(fields, columns, strict=True))
        super().__init__(queryset.values(**columns), output_field=TextField(), pairs=pairs)

    def as_postgresql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra: Any
    ) -> tuple[str, Any]:
        """Return the SQL with PostgreSQL's JSON functions."""
        return self.as_sql(compiler, connection, template=self.postgresql_template, **extra)


class CountRows(Subquery):
    """The number of rows of an uncorrelated query, as a column of the query for one page of it."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) counted_rows)"

    def __init__(self, queryset: QuerySet[Any, Any]) -> None:
        """Count the rows of `queryset`."""
        super().__init__(queryset.order_by().values("pk"), output_field=IntegerField())


def rows(text: str) -> list[dict[str, Any]]:
    """Return the rows in a text of `JsonRows`."""
    gathered: list[dict[str, Any]] = json.loads(text)
    return gathered
