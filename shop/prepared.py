"""Queries of the ORM that are compiled once per process and asked again with other values.

Building and compiling a query costs Django more than SQLite needs to answer it: half of a product page. The SQL is
what the ORM writes for the database at hand, so this works on every one of them.
"""

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any
from zlib import crc32

from django.db import connection
from django.db.models import QuerySet

Build = Callable[..., QuerySet[Any, Any]]
Value = str | int


def ask(build: Build, *shape: Hashable, **values: Value) -> list[dict[str, Any]]:
    """Return the rows of the `.values()` query that `build(*shape, **values)` makes.

    `shape` is what changes the SQL; `values` only fill it, exactly or within a LIKE pattern. They arrive in `build`
    as placeholders, so `build` must hand them to the query untouched. Columns must be texts and numbers, since
    rows come as the database driver gives them.
    """
    kinds = tuple((name, isinstance(value, int)) for name, value in values.items())
    sql, params, names = _compiled(connection.settings_dict["ENGINE"], build, shape, kinds)
    filled = tuple(_fill(param, values) for param in params)
    with connection.cursor() as cursor:
        cursor.execute(sql, filled)
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@lru_cache(maxsize=512)
def _compiled(
    engine: str, build: Build, shape: tuple[Hashable, ...], kinds: tuple[tuple[str, bool], ...]
) -> tuple[str, tuple[Any, ...], tuple[str, ...]]:
    """Compile a query with placeholders; returns SQL, parameters and column names."""
    slots = {name: _number(name) if is_number else _text(name) for name, is_number in kinds}
    query = build(*shape, **slots).query
    sql, params = query.sql_with_params()
    selected: Any = query.selected
    return sql, tuple(params), tuple(selected)


def _text(name: str) -> str:
    """Return a text that no query of ours contains; what visitors type is never searched for it."""
    return f"\ue000{name}\ue001"


def _number(name: str) -> int:
    """Return a number that no row has."""
    return -(10**12) - crc32(name.encode())


def _fill(param: Any, values: dict[str, Value]) -> Any:
    """Put the values in place of their placeholders."""
    if isinstance(param, int):
        return next(
            (value for name, value in values.items() if isinstance(value, int) and param == _number(name)),
            param,
        )
    if isinstance(param, str) and "\ue000" in param:
        for name, value in values.items():
            slot = _text(name)
            if param == slot:
                return value
            if slot in param:  # within the pattern of a LIKE
                return param.replace(slot, connection.ops.prep_for_like_query(str(value)))
    return param
