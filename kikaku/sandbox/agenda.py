"""What happens by itself as time passes: late captures, refunds that settle or fail, sessions that expire."""

from kikaku.sandbox.checkout import expire_session
from kikaku.sandbox.payments import capture
from kikaku.sandbox.refunds import fail_refund, finish_refund
from kikaku.sandbox.state import Transaction


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
    return tx.db.execute(  # type: ignore[no-any-return]
        "SELECT seq, due, task, object_id FROM agenda WHERE due <= ? ORDER BY due, seq LIMIT 1", (tx.now,)
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
