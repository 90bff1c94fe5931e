"""What a write reaches besides its own table: what that table's triggers write, and the views that show any of these."""

from collections.abc import Callable
from typing import Any

from .statements import trigger_writes

Ask = Callable[[str], list[list[Any]]]


class Reach:
    """One database's triggers and views, read with the first write and kept."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._next: dict[str, set[str]] | None = None  # one step from each table

    def of(self, table: str) -> frozenset[str]:
        """Name all that a write of a table changes, itself as well; lower case."""
        if self._next is None:
            self._next = self._read()
        found, fresh = {table}, {table}
        while fresh:
            fresh = {other for name in fresh for other in self._next.get(name, ())} - found
            found |= fresh
        return frozenset(found)

    def forget(self) -> None:
        """The schema changes."""
        self._next = None

    def _read(self) -> dict[str, set[str]]:
        steps: dict[str, set[str]] = {}
        views: list[tuple[str, str]] = []
        for kind, name, sql in self._ask(
            "SELECT type, lower(tbl_name), lower(sql) FROM sqlite_master WHERE type IN ('trigger', 'view')"
        ):
            if kind == "trigger":
                steps.setdefault(name, set()).update(trigger_writes(sql))
            else:
                views.append((name, sql))
        if views:
            shown = self._ask("SELECT lower(name) FROM sqlite_master WHERE type IN ('table', 'view')")
            for (name,) in shown:
                steps.setdefault(name, set()).update(
                    view for view, sql in views if view != name and name in sql
                )
        return steps
