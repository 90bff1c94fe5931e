"""What happens by itself as time passes: late captures, refunds that settle or fail, sessions that expire."""

import time

from kikaku.sandbox.checkout import expire_session
from kikaku.sandbox.payments import capture
from kikaku.sandbox.refunds import fail_refund, finish_refund
from kikaku.sandbox.state import Transaction

_REAL_TIME_SECONDS = 60
_HISTORY_REST_SECONDS = 30


def something_due(tx: Transaction) -> bool:
    """Tell whether something planned has come due (cheap: no lock)."""
    return _next_due(tx) is not None


def work_off(tx: Transaction) -> dict[str, int]:
    """Let everything happen that has come due, each at its own instant; return how often each task was done."""
    done: dict[str, int] = {}
    caller_now = tx.now
    try:
        while (item := _next_due(tx)) is not None:
            seq, due, task, object_id = item
            tx.db.execute("DELETE FROM agenda WHERE seq = ?", (seq,))
            tx.now = due
            _perform(tx, task, object_id)
            done[task] = done.get(task, 0) + 1
            tx.now = caller_now
    finally:
        tx.now = caller_now
    return done


def _next_due(tx: Transaction) -> tuple[int, float, str, str] | None:
    real_now = time.time()
    # A demo history is written with a clock in the past while the server may run with the real one. To the
    # server such a session is long expired the moment it is created; it lets it rest until it is paid.
    spare_history = abs(tx.now - real_now) < _REAL_TIME_SECONDS
    return tx.db.execute(  # type: ignore[no-any-return]
        "SELECT seq, due, task, object_id FROM agenda WHERE due <= ?"
        " AND NOT (? AND task = 'expire session' AND due < written AND written > ?)"
        " ORDER BY due, seq LIMIT 1",
        (tx.now, spare_history, real_now - _HISTORY_REST_SECONDS),
    ).fetchone()


def _perform(tx: Transaction, task: str, object_id: str) -> None:
    if task == "capture":
        capture(tx, tx.load("charge", object_id))
    elif task == "finish refund":
        finish_refund(tx, tx.load("refund", object_id))
    elif task == "fail refund":
        fail_refund(tx, tx.load("refund", object_id))
    elif task == "expire session":
        expire_session(tx, tx.load("checkout.session", object_id))
    else:
        raise LookupError(f"Unknown task on the agenda: {task}")
