"""Django's SQLite backend, whose writers queue (`kikaku.sqlite.queue`). Reading costs nothing more."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.backends.sqlite3 import base

from kikaku.sqlite.queue import QueuePlace

WRITE_VERBS = ("INSERT", "UPDATE", "DELETE", "REPLACE")  # of the ORM outside of a transaction
DEFAULT_TIMEOUT = 5.0  # seconds that SQLite waits by default in Python's sqlite3


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection that enters the queue before it writes.

    Django's type stubs lack the inherited methods with a leading underscore.
    """

    queue: QueuePlace | None = None  # None for a database in memory, which has no other writer
    transaction_mode: str | None

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Return a new connection, and create its place in the queue of its file."""
        connection = super().get_new_connection(conn_params)
        file = connection.execute("PRAGMA database_list").fetchone()[2]
        self.queue = None
        if file:
            # half of the timeout for the queue, the rest for SQLite's lock, which others may hold
            self.queue = QueuePlace(file, timeout=conn_params.get("timeout", DEFAULT_TIMEOUT) / 2)
        return connection

    def create_cursor(self, name: Any = None) -> Any:
        """Return a cursor that queues for writes in autocommit."""
        cursor = self.connection.cursor(factory=QueueingCursor)
        cursor.queue = self.queue
        return cursor

    def _start_transaction_under_autocommit(self) -> None:
        """Wait in the queue before BEGIN IMMEDIATE takes SQLite's lock."""
        if self.queue is not None and self.transaction_mode in ("IMMEDIATE", "EXCLUSIVE"):
            self.queue.enter()
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]
        finally:
            self._leave_unless_writing()

    def _commit(self) -> None:
        try:
            super()._commit()  # type: ignore[misc]
        finally:
            self._leave_unless_writing()

    def _rollback(self) -> None:
        try:
            super()._rollback()  # type: ignore[misc]
        finally:
            self._leave_unless_writing()

    def _close(self) -> None:
        try:
            super()._close()  # type: ignore[misc]
        finally:
            if self.queue is not None:
                self.queue.close()

    def _leave_unless_writing(self) -> None:
        """Leave the queue, unless the transaction continues: a failed commit can be rolled back."""
        if self.queue is not None and (self.connection is None or not self.connection.in_transaction):
            self.queue.leave()


class QueueingCursor(base.SQLiteCursorWrapper):
    """A cursor that enters the queue for a write in autocommit; in a transaction it does nothing special."""

    queue: QueuePlace | None = None

    def execute(self, query: str, params: Any = None) -> Any:
        """Run a statement; a write in autocommit waits in the queue."""
        if (queue := self._queue_for(query)) is None:
            return super().execute(query, params)
        with self._turn(queue):
            return super().execute(query, params)

    def executemany(self, query: str, param_list: Any) -> Any:
        """Run a statement many times; a write in autocommit waits in the queue."""
        if (queue := self._queue_for(query)) is None:
            return super().executemany(query, param_list)
        with self._turn(queue):
            return super().executemany(query, param_list)

    def _queue_for(self, query: str) -> QueuePlace | None:
        return self.queue if query.startswith(WRITE_VERBS) and not self.connection.in_transaction else None

    @contextmanager
    def _turn(self, queue: QueuePlace) -> Iterator[None]:
        queue.enter()
        try:
            yield
        finally:
            if not self.connection.in_transaction:
                queue.leave()
