"""Prepared queries: the ORM takes ten times longer to build the SQL than the database takes to run it.

A queryset is written with `slot("slug")` in the place of each text that is known only when the query runs. It
is prepared once and then run with the texts. It may select only texts and integers: these need no conversion
on any database.
"""

from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import QuerySet

SLOT_MARK = "\0"  # occurs in no other text: PostgreSQL cannot store it, and forms remove it


def slot(name: str) -> str:
    """Return a placeholder for a text that is given when the statement runs.

    `name` has letters only: Django escapes `_`, `%` and the backslash in the pattern of a LIKE.
    """
    return f"{SLOT_MARK}{name}{SLOT_MARK}"


@dataclass(frozen=True, slots=True)
class Statement:
    """A prepared query."""

    sql: str
    parameters: tuple[Any, ...]
    columns: tuple[str, ...]

    def rows(self, **texts: str) -> list[tuple[Any, ...]]:
        """Run the query with a text for each slot and return its rows; `KeyError` for a missing text."""
        with connection.cursor() as cursor:
            cursor.execute(self.sql, [fill_slot(parameter, texts) for parameter in self.parameters])
            found: list[tuple[Any, ...]] = cursor.fetchall()
        return found

    def records(self, **texts: str) -> list[dict[str, Any]]:
        """Run the query as `rows` does and return each row as column name → value."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows(**texts)]


def fill_slot(parameter: Any, texts: dict[str, str]) -> Any:
    """Return a parameter with the text of its slot; in a LIKE pattern `%` and `_` of the text are escaped."""
    if not isinstance(parameter, str) or SLOT_MARK not in parameter:
        return parameter
    before, name, after = parameter.split(SLOT_MARK)  # text around the slot: the pattern of a LIKE
    text = texts[name]
    return f"{before}{connection.ops.prep_for_like_query(text)}{after}" if before or after else text


def prepare(queryset: QuerySet[Any, Any]) -> Statement:
    """Return the statement of a queryset with `.values(…)`, for the database in use."""
    sql, parameters = queryset.query.sql_with_params()
    return Statement(sql, tuple(parameters), tuple(queryset.query.selected or ()))
