"""Bring a product's rows (variants, pictures, specifications) along in one query, on every database."""

import json
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, IntegerField, QuerySet, Subquery, TextField
from django.db.models.sql.compiler import SQLCompiler


class JsonRows(Subquery):
    """Gather the rows of a correlated query as one JSON text, in their order: `[{"sku": …}, …]`.

    Works on SQLite (and so D1, whose functions take at most 32 arguments: 16 columns) and PostgreSQL. Read the
    text with `rows()`.
    """

    # the CAST makes it a text for good: as a column of other JSON rows it would become a part of their JSON
    template = (
        "(SELECT CAST(COALESCE(json_group_array(json_object(%(pairs)s)), '[]') AS TEXT)"
        " FROM (%(subquery)s) json_rows)"
    )
    postgresql_template = (
        "(SELECT COALESCE(json_agg(json_build_object(%(pairs)s))::text, '[]') FROM (%(subquery)s) json_rows)"
    )

    def __init__(self, queryset: QuerySet[Any, Any], *fields: str) -> None:
        """Take `fields` of `queryset` (lookups such as `stock__on_hand` allowed); keys are the field names."""
        if not 1 <= len(fields) <= 16:
            raise ValueError("JsonRows takes 1 to 16 fields.")
        columns: dict[str, Any] = {f"j{place}": F(field) for place, field in enumerate(fields)}
        pairs = ", ".join(f"'{field}', {column}" for field, column in zip(fields, columns, strict=True))
        super().__init__(queryset.values(**columns), output_field=TextField(), pairs=pairs)

    def as_postgresql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra: Any
    ) -> tuple[str, Any]:
        """Use PostgreSQL's own JSON functions."""
        return self.as_sql(compiler, connection, template=self.postgresql_template, **extra)


class CountRows(Subquery):
    """Count the rows of an uncorrelated query, beside the page of them that is shown."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) counted_rows)"

    def __init__(self, queryset: QuerySet[Any, Any]) -> None:
        """Take the query whose rows are to be counted."""
        super().__init__(queryset.order_by().values("pk"), output_field=IntegerField())


def rows(text: str) -> list[dict[str, Any]]:
    """Read what `JsonRows` gathered."""
    gathered: list[dict[str, Any]] = json.loads(text)
    return gathered
