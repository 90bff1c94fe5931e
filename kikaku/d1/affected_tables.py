"""Which tables and views a write changes besides its own table: by triggers, and views over any of these."""

from collections.abc import Callable
from typing import Any

from .statements import tables_written_by_trigger

Query = Callable[[str], list[list[Any]]]


class AffectedTables:
    """The triggers and views of one database, read with the first write and cached."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._direct: dict[str, set[str]] | None = None  # affected directly, by table

    def of(self, table: str) -> frozenset[str]:
        """Return the names of all that a write of a table changes, including the table itself; lower case."""
        if self._direct is None:
            self._direct = self._read()
        found, fresh = {table}, {table}
        while fresh:
            fresh = {other for name in fresh for other in self._direct.get(name, ())} - found
            found |= fresh
        return frozenset(found)

    def clear(self) -> None:
        """Read them again with the next write, because the schema changes."""
        self._direct = None

    def _read(self) -> dict[str, set[str]]:
        direct: dict[str, set[str]] = {}
        views: list[tuple[str, str]] = []
        for kind, name, sql in self._query(
            "SELECT type, lower(tbl_name), lower(sql) FROM sqlite_master WHERE type IN ('trigger', 'view')"
        ):
            if kind == "trigger":
                direct.setdefault(name, set()).update(tables_written_by_trigger(sql))
            else:
                views.append((name, sql))
        if views:
            tables = self._query("SELECT lower(name) FROM sqlite_master WHERE type IN ('table', 'view')")
            for (name,) in tables:
                direct.setdefault(name, set()).update(
                    view for view, sql in views if view != name and name in sql
                )
        return direct
