"""Django's SQLite backend, whose writers queue (`kikaku.sqlite.queue`). Reading costs nothing more."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.backends.sqlite3 import base

from kikaku.sqlite.queue import WriterQueue

WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")  # what the ORM writes outside of a transaction
WAITS = 5.0  # seconds that SQLite waits when OPTIONS does not say, as Python's sqlite3 has it


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection that takes its place in the queue before it writes.

    The hooks with an underscore are Django's own between its backends; its type stubs leave them out.
    """

    queue: WriterQueue | None = None  # None for a database in memory: nobody else writes there
    transaction_mode: str | None

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect, and find the queue of the file that was opened."""
        connection = super().get_new_connection(conn_params)
        file = connection.execute("PRAGMA database_list").fetchone()[2]
        self.queue = None
        if file:
            # half the time in the queue, and SQLite's own time for whoever writes outside of it
            self.queue = WriterQueue(file, patience=conn_params.get("timeout", WAITS) / 2)
        return connection

    def create_cursor(self, name: Any = None) -> Any:
        """Give a cursor that queues for writes in autocommit."""
        cursor = self.connection.cursor(factory=QueueingCursor)
        cursor.queue = self.queue
        return cursor

    def _start_transaction_under_autocommit(self) -> None:
        """Wait for the turn before the lock is taken that BEGIN IMMEDIATE takes."""
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
        """Let the next one in, unless SQLite's transaction goes on (a commit that failed can be rolled back)."""
        if self.queue is not None and (self.connection is None or not self.connection.in_transaction):
            self.queue.leave()


class QueueingCursor(base.SQLiteCursorWrapper):
    """A cursor that takes its turn for a single write, and leaves alone what runs in a transaction."""

    queue: WriterQueue | None = None

    def execute(self, query: str, params: Any = None) -> Any:
        """Run a statement, in turn when it writes."""
        if (queue := self._queue_for(query)) is None:
            return super().execute(query, params)
        with self._turn(queue):
            return super().execute(query, params)

    def executemany(self, query: str, param_list: Any) -> Any:
        """Run a statement many times, in turn when it writes."""
        if (queue := self._queue_for(query)) is None:
            return super().executemany(query, param_list)
        with self._turn(queue):
            return super().executemany(query, param_list)

    def _queue_for(self, query: str) -> WriterQueue | None:
        return self.queue if query.startswith(WRITES) and not self.connection.in_transaction else None

    @contextmanager
    def _turn(self, queue: WriterQueue) -> Iterator[None]:
        queue.enter()
        try:
            yield
        finally:
            if not self.connection.in_transaction:
                queue.leave()
