"""Scheduled tasks: late captures, refunds that settle or fail, sessions and vouchers that expire."""

from collections.abc import Callable

from kikaku.sandbox.checkout import expire_session
from kikaku.sandbox.konbini import expire_voucher
from kikaku.sandbox.payments import capture
from kikaku.sandbox.refunds import ask_again, fail_refund, finish_refund
from kikaku.sandbox.state import Json, Transaction


def has_due_task(tx: Transaction) -> bool:
    """Return whether a task is due; needs no write lock."""
    return _next_due(tx) is not None


def run_due(tx: Transaction) -> dict[str, int]:
    """Run every due task, each at its own instant; return how often each was run."""
    done: dict[str, int] = {}
    caller_now = tx.now
    try:
        while (item := _next_due(tx)) is not None:
            seq, due, task, object_id = item
            tx.db.execute("DELETE FROM agenda WHERE seq = ?", (seq,))
            tx.now = due
            _run(tx, task, object_id)
            done[task] = done.get(task, 0) + 1
            tx.now = caller_now
    finally:
        tx.now = caller_now
    return done


def _next_due(tx: Transaction) -> tuple[int, float, str, str] | None:
    return tx.db.execute(  # type: ignore[no-any-return]
        "SELECT seq, due, task, object_id FROM agenda WHERE due <= ? ORDER BY due, seq LIMIT 1", (tx.now,)
    ).fetchone()


def _run(tx: Transaction, task: str, object_id: str) -> None:
    kind, function = _TASKS[task]
    function(tx, tx.load(kind, object_id))


# Task → (kind of its object, function). The names are stored in state files.
_TASKS: dict[str, tuple[str, Callable[[Transaction, Json], object]]] = {
    "ask again": ("refund", ask_again),
    "capture": ("charge", capture),
    "expire session": ("checkout.session", expire_session),
    "fail refund": ("refund", fail_refund),
    "finish refund": ("refund", finish_refund),
    "lapse voucher": ("checkout.session", lambda tx, session: expire_voucher(tx, session["id"])),
}
