"""What runs on D1: single statements, dry runs of a block's log, and its COMMIT."""

import json
import random
import secrets
import sqlite3
import time
from collections.abc import Sequence

from .errors import (
    TOO_BIG_ERRORS,
    as_sqlite_error,
    conflict_error,
    is_missing_setup,
    no_answer_error,
    raise_commit_error,
)
from .exceptions import CommitUnknown
from .guards import CONFLICT_ERROR, DEFER_FOREIGN_KEYS, SETUP, as_cte, delete_old_traces
from .log import Log
from .transport import MAX_TRIES, ROWS_MARK, AccessDenied, D1Error, NoAnswer, RawResult, Result, Transport
from .values import Statement, check_limits

TRACE_SECONDS = 3_600  # in which the result of a COMMIT can be asked, and for which a block may hold a lock
CLEANUP_INTERVAL = 100  # commits, on average, between two deletions of old traces


class Executor:
    """Runs statements on one database and raises what Python's sqlite3 would."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def run(self, batch: Sequence[Statement], *, repeatable: bool) -> list[Result]:
        """Run a batch and return a result for each element."""
        try:
            return self._batch(batch, repeatable=repeatable)
        except D1Error as error:
            raise as_sqlite_error(str(error)) from None

    def raw(self, statement: Statement, *, repeatable: bool = True) -> RawResult:
        """Run one statement outside of any block: PRAGMA, EXPLAIN. Integers beyond 2^53 lose digits."""
        try:
            return self.transport.raw(check_limits(statement), repeatable=repeatable)
        except D1Error as error:
            raise as_sqlite_error(str(error)) from None
        except AccessDenied as denied:
            raise sqlite3.OperationalError(str(denied)) from None
        except NoAnswer as no_answer:
            raise no_answer_error(no_answer, is_read=repeatable) from None

    def _batch(self, batch: Sequence[Statement], *, repeatable: bool) -> list[Result]:
        """Run a batch, after creating the backend's own tables when they are missing. Raises `D1Error`."""
        try:
            try:
                return self.transport.batch(batch, repeatable=repeatable)
            except D1Error as error:
                if not is_missing_setup(str(error)):
                    raise
            self.transport.batch(SETUP, repeatable=True)
            return self.transport.batch(batch, repeatable=repeatable)
        except AccessDenied as denied:
            raise sqlite3.OperationalError(str(denied)) from None
        except NoAnswer as no_answer:
            raise no_answer_error(no_answer, is_read=repeatable) from None

    # ── Dry runs ─────────────────────────────────────────────────────────────────────────────────────────

    def dry_run(
        self,
        log: Log,
        tail: list[Statement],
        scalar: str,
        *,
        defer: bool = False,
        query: Statement | None = None,
        columns: int = 0,
    ) -> str:
        """Dry-run the log plus `tail`, and return the JSON text that the SELECT `scalar` gives after them.

        `query` is available to `scalar` as `_q` with so many columns; `defer` checks foreign keys at the end.

        Raises:
            TransactionConflict: the log does not fit the database any more.
            TooBig: the text is over 2 MB.
            sqlite3.Error: `tail` or the query fails.
        """
        # the error text may contain whatever customers wrote: only a random mark shows where the result
        # begins
        mark = ROWS_MARK + secrets.token_hex(8)
        source = as_cte(query.sql, columns) if query else ""
        probe = Statement(
            f"INSERT INTO _d1_probe(payload) {source} SELECT '{mark}'||({scalar})",
            query.bound if query else (),
        )
        deferral = [DEFER_FOREIGN_KEYS] if defer or log.defers_foreign_keys else []
        batch = [log.commit_row(), *deferral, *log.dry_run_statements(), *tail, probe]
        try:
            self._batch(batch, repeatable=True)
        except D1Error as error:
            text = str(error)
        else:  # `_d1_probe` refuses every row by a CHECK as well
            raise sqlite3.InternalError("A dry run was applied: _d1_probe is not as the backend created it.")
        at = text.find(mark)
        if at >= 0:
            _value, end = json.JSONDecoder().raw_decode(text, at + len(mark))
            log.has_queued = False
            return text[at + len(mark) : end]
        if any(words in text for words in TOO_BIG_ERRORS):
            raise as_sqlite_error(text)
        # the statement's own error, or a log that does not fit any more: such a log fails without the
        # statement, too
        if CONFLICT_ERROR in text:
            raise conflict_error(text)
        if log.entries and not log.has_queued:
            self.verify(log)
        raise as_sqlite_error(text)

    def verify(self, log: Log) -> None:
        """Dry-run all of a log, guards of reads included. Raises `TransactionConflict` when it fails."""
        mark = ROWS_MARK + secrets.token_hex(8)
        probe = Statement(f"INSERT INTO _d1_probe(payload) SELECT '{mark}'")
        try:
            self._batch([*self._commit_batch(log), probe], repeatable=True)
        except D1Error as error:
            if mark not in str(error):
                raise conflict_error(str(error)) from None

    # ── COMMIT ───────────────────────────────────────────────────────────────────────────────────────────

    @staticmethod
    def _commit_batch(log: Log) -> list[Statement]:
        deferral = [DEFER_FOREIGN_KEYS] if log.defers_foreign_keys else []
        return [log.commit_row(), *deferral, *log.all_statements()]

    def commit(self, log: Log) -> None:
        """Apply a log once.

        After a lost answer, ask whether the log was applied; if not, prevent that and send it again.

        Raises:
            TransactionConflict: another writer changed what the log rests on; nothing was applied.
            CommitUnknown: the answer was lost, and D1 cannot be asked.
            sqlite3.Error: D1 refused the log, or did not take it; nothing was applied.
        """
        for _attempt in range(MAX_TRIES):
            batch = [*self._commit_batch(log), *log.lock_statements(), *log.reference_guards()]
            if random.randrange(CLEANUP_INTERVAL) == 0:  # noqa: S311  (spreads the work)
                batch += delete_old_traces(int(time.time()) - TRACE_SECONDS)
            try:
                self.transport.batch(batch, repeatable=False)
                return
            except AccessDenied as denied:
                raise sqlite3.OperationalError(str(denied)) from None
            except D1Error as error:
                if is_missing_setup(str(error)):
                    self._batch(SETUP, repeatable=True)
                    continue
                if "_d1_commit.id" in str(error) and self._was_applied(log, str(error)):
                    return  # something between here and D1 sent it twice
                raise_commit_error(str(error), has_queued=log.has_queued)
            except NoAnswer as no_answer:
                if no_answer.sent and self._was_applied(log, str(no_answer)):
                    return
                log.commit_id = secrets.randbits(62)
        raise sqlite3.OperationalError("D1 did not take the COMMIT: nothing was written.")

    def _was_applied(self, log: Log, reason: str) -> bool:
        """Return whether a COMMIT was applied. If not, a row in the place of its own prevents it for good."""
        block = f"INSERT OR IGNORE INTO _d1_commit(id, at) VALUES ({log.commit_id}, {-int(time.time())})"
        question = Statement(f"SELECT at FROM _d1_commit WHERE id={log.commit_id}")
        try:
            return bool(self._batch([Statement(block), question], repeatable=True)[1].rows[0][0] > 0)
        except (D1Error, sqlite3.Error, IndexError, TypeError):
            raise CommitUnknown(
                f"{reason}. Whether the block was applied is not known: look before you repeat it."
            ) from None
