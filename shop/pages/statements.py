"""Queries whose SQL is made once: building it takes the ORM ten times as long as the database needs to answer.

A queryset is written with `slot("slug")` wherever a text is known only when the query runs, prepared once, and then
run with the texts. It selects texts and whole numbers alone, which every database gives as they are.
"""

from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import QuerySet

MARK = "\0"  # occurs in no text: PostgreSQL can not keep it, and forms drop it


def slot(name: str) -> str:
    """Stand for a text that is given when the statement runs."""
    return f"{MARK}{name}{MARK}"


@dataclass(frozen=True, slots=True)
class Statement:
    """A query made ready."""

    sql: str
    parameters: tuple[Any, ...]
    columns: tuple[str, ...]

    def rows(self, **texts: str) -> list[tuple[Any, ...]]:
        """Run it with a text for each slot. Raises `KeyError` for one that is missing."""
        with connection.cursor() as cursor:
            cursor.execute(self.sql, [fill(parameter, texts) for parameter in self.parameters])
            found: list[tuple[Any, ...]] = cursor.fetchall()
        return found

    def records(self, **texts: str) -> list[dict[str, Any]]:
        """Run it as `rows` does, and give each row by the names of its columns."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows(**texts)]


def fill(parameter: Any, texts: dict[str, str]) -> Any:
    """Put the text of its slot into a parameter; within a pattern of LIKE it stands for itself, `%` and `_` too."""
    if not isinstance(parameter, str) or MARK not in parameter:
        return parameter
    before, name, after = parameter.split(MARK)
    text = texts[name]
    return f"{before}{connection.ops.prep_for_like_query(text)}{after}" if before or after else text


def prepare(queryset: QuerySet[Any, Any]) -> Statement:
    """Make the SQL of a queryset with `.values(…)` for the database in use."""
    sql, parameters = queryset.query.sql_with_params()
    return Statement(sql, tuple(parameters), tuple(queryset.query.selected or ()))
