"""Assumptions about whole blocks, through Django."""

from django.db import IntegrityError, transaction

from .. import TransactionConflict
from .scratch import (
    ROW,
    Assumption,
    DoesNotHold,
    Scratch,
    insert,
    names,
    registering_in,
    same,
)

ASSUMPTIONS: list[Assumption] = []
assumption = registering_in(ASSUMPTIONS)


class _RolledBack(Exception):
    """Raised to leave a block with a rollback."""


def _write(db: Scratch, sql: str) -> int:
    with db.django.cursor() as cursor:
        cursor.execute(sql)
        return int(cursor.rowcount)


def _read_names(db: Scratch) -> list[str]:
    with db.django.cursor() as cursor:
        cursor.execute(f"SELECT name FROM {ROW} ORDER BY name")
        return [name for (name,) in cursor.fetchall()]


@assumption(
    "a block is committed, or rolled back, as a whole", "transactions do not work: do not use this database"
)
def blocks(db: Scratch) -> str:
    alias = db.django.alias
    with transaction.atomic(using=alias):
        same(_write(db, insert("a", "b")), 2, "rowcount")
        same(_read_names(db), ["a", "b"], "what a block reads of its own writes")
        same(names(db), [], "what others see before COMMIT")
    same(names(db), ["a", "b"], "after COMMIT")
    try:
        with transaction.atomic(using=alias):
            _write(db, f"DELETE FROM {ROW}")
            same(_read_names(db), [], "what a block reads of its own writes")
            raise _RolledBack
    except _RolledBack:
        same(names(db), ["a", "b"], "after a rollback")
    return "committed, rolled back; a block sees its own writes, and others do not"


@assumption("a block can be rolled back to a savepoint", "nested atomic() blocks do not work")
def savepoints(db: Scratch) -> str:
    alias = db.django.alias
    with transaction.atomic(using=alias):
        _write(db, insert("a"))
        try:
            with transaction.atomic(using=alias):
                _write(db, insert("b"))
                raise _RolledBack
        except _RolledBack:
            same(_read_names(db), ["a"], "after the rollback to the savepoint")
        try:
            with transaction.atomic(using=alias):
                _write(db, insert("a"))
        except IntegrityError:
            _write(db, insert("c"))
        else:
            raise DoesNotHold("a second row of the same name raised no IntegrityError")
    same(names(db), ["a", "c"], "after COMMIT")
    return "after an exception and after an IntegrityError; the block goes on"


@assumption("one of two concurrent writers gets a conflict", "updates are lost: do not use this database")
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
                _read_n(db)
                db.run(theirs)
        except TransactionConflict:
            same(db.run(f"SELECT n AS n FROM {ROW} ORDER BY id")[0], [[5], [0]], "after the conflict")
        else:
            raise DoesNotHold("both were applied")
    return "on a row that both wrote, and on one that the block had read; nothing of it was applied"


def _read_n(db: Scratch) -> None:
    with db.django.cursor() as cursor:
        cursor.execute(f"SELECT n FROM {ROW} WHERE name='a'")
        cursor.fetchall()
