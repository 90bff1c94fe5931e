"""What must hold of whole blocks, through Django: what all the rest is for."""

from django.db import IntegrityError, transaction

from .. import TransactionConflict
from .scratch import (
    ROW,
    Assumption,
    DoesNotHold,
    Scratch,
    adding_to,
    insert,
    names,
    same,
)

ASSUMPTIONS: list[Assumption] = []
assumes = adding_to(ASSUMPTIONS)


class _TakenBack(Exception):
    """Raised to leave a block."""


def _write(db: Scratch, sql: str) -> int:
    with db.django.cursor() as cursor:
        cursor.execute(sql)
        return int(cursor.rowcount)


def _seen(db: Scratch) -> list[str]:
    with db.django.cursor() as cursor:
        cursor.execute(f"SELECT name FROM {ROW} ORDER BY name")
        return [name for (name,) in cursor.fetchall()]


@assumes(
    "a block is committed, or rolled back, as a whole", "transactions do not work: do not use this database"
)
def blocks(db: Scratch) -> str:
    alias = db.django.alias
    with transaction.atomic(using=alias):
        same(_write(db, insert("a", "b")), 2, "rowcount")
        same(_seen(db), ["a", "b"], "what a block sees of itself")
        same(names(db), [], "what others see before COMMIT")
    same(names(db), ["a", "b"], "after COMMIT")
    try:
        with transaction.atomic(using=alias):
            _write(db, f"DELETE FROM {ROW}")
            same(_seen(db), [], "what a block sees of itself")
            raise _TakenBack
    except _TakenBack:
        same(names(db), ["a", "b"], "after a rollback")
    return "committed, rolled back; a block sees its own writes, and others do not"


@assumes("a savepoint can be gone back to", "nested atomic() blocks do not work")
def savepoints(db: Scratch) -> str:
    alias = db.django.alias
    with transaction.atomic(using=alias):
        _write(db, insert("a"))
        try:
            with transaction.atomic(using=alias):
                _write(db, insert("b"))
                raise _TakenBack
        except _TakenBack:
            same(_seen(db), ["a"], "after going back")
        try:
            with transaction.atomic(using=alias):
                _write(db, insert("a"))
        except IntegrityError:
            _write(db, insert("c"))
        else:
            raise DoesNotHold("a second row of the same name raised no IntegrityError")
    same(names(db), ["a", "c"], "after COMMIT")
    return "after an exception and after an IntegrityError; the block goes on"


@assumes("of two writers who meet one gets a conflict", "updates are lost: do not use this database")
def conflicts_are_found(db: Scratch) -> str:
    alias = db.django.alias
    mine = f"UPDATE {ROW} SET n=n+1 WHERE name='a' AND n=0"
    theirs = f"UPDATE {ROW} SET n=5 WHERE name='a'"
    for act in (mine, f"UPDATE {ROW} SET n=1 WHERE name='b'"):
        db.clear()
        db.run(insert("a", "b"))
        try:
            with transaction.atomic(using=alias):
                same(_write(db, act), 1, "rowcount")
                _seen_n(db)
                db.run(theirs)
        except TransactionConflict:
            same(db.run(f"SELECT n AS n FROM {ROW} ORDER BY id")[0], [[5], [0]], "after the conflict")
        else:
            raise DoesNotHold("both were applied")
    return "on a row that both wrote, and on one that the block had read; nothing of it was applied"


def _seen_n(db: Scratch) -> None:
    with db.django.cursor() as cursor:
        cursor.execute(f"SELECT n FROM {ROW} WHERE name='a'")
        cursor.fetchall()
