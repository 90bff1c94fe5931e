"""Assumptions about the statements of a COMMIT: guards, the commit row, reserved ids."""

import json

from ..dbapi import COUNTS
from ..errors import sqlite_message
from ..guards import CONFLICT_ERROR, advance_sequence, guard_changes, guard_rowid, guard_rows
from ..log import Log
from ..transport import D1Error
from ..values import Statement
from .scratch import (
    COMMIT,
    PREFIX,
    ROW,
    Ask,
    Assumption,
    DoesNotHold,
    Scratch,
    insert,
    names,
    registering_in,
    same,
    scratch,
    scratch_guard,
    shortened,
)

ASSUMPTIONS: list[Assumption] = []
assumption = registering_in(ASSUMPTIONS)


def conflicts(db: Scratch, *asks: Ask) -> bool:
    """Return whether a guard refuses a batch. Other errors are raised."""
    try:
        db.run(*asks)
    except D1Error as error:
        if CONFLICT_ERROR.replace("_d1_", PREFIX) in str(error):
            return True
        raise
    return False


@assumption(
    "changes() directly after a write returns its rows, whatever triggers do",
    "lost updates go unnoticed, or blocks conflict without a reason: do not use this database",
)
def guards_of_counts(db: Scratch) -> str:
    db.run(insert("a", "b", "c"))
    writes = [
        (2, f"UPDATE {ROW} SET n=n+1 WHERE name<>'c'"),  # each fires a trigger that inserts two rows
        (0, f"UPDATE {ROW} SET n=n+1 WHERE name='none'"),
        (3, f"INSERT INTO {ROW}(name) SELECT name||'2' FROM {ROW}"),
        (1, f"INSERT INTO {ROW}(name) VALUES ('a'),('d') ON CONFLICT DO NOTHING"),
        (7, f"DELETE FROM {ROW}"),
    ]
    for count, write in writes:
        for is_right in (True, False):
            guard = scratch(guard_changes(count if is_right else count + 1))
            undo = "SELECT nowhere"  # the batch fails here unless a guard refused it before
            for asks in ([write, guard, undo], [f"{write}\n;\n{guard.sql}", undo]):
                text = db.refused(*asks)
                if (CONFLICT_ERROR.replace("_d1_", PREFIX) in text) is is_right:
                    raise DoesNotHold(f"a guard on {count} rows is {'refused' if is_right else 'passed'}")
        _write, counts = db.run(write, COUNTS)
        same(json.loads(counts[0][0])[0], count, "changes()")
    return f"{len(writes)} kinds of writes, in one element and in two"


@assumption(
    "last_insert_rowid() directly after an INSERT returns its id, whatever triggers do",
    "rows inserted by raw SQL may refer to the wrong rows",
)
def guards_of_ids(db: Scratch) -> str:
    insert_41 = f"INSERT INTO {ROW}(id, name) VALUES (41, 'a')"
    db.run(insert_41, scratch(guard_rowid(41)))
    same(conflicts(db, insert("b"), scratch(guard_rowid(43))), True, "a guard on another id refuses")
    _insert, counts = db.run(insert("b"), COUNTS)
    same(json.loads(counts[0][0]), [1, 42], "changes() and last_insert_rowid()")
    return "with triggers that insert rows of their own"


@assumption(
    "a guard can compare rows", "what a block has read may change unnoticed: do not use this database"
)
def guards_of_rows(db: Scratch) -> str:
    db.run(Statement(f"INSERT INTO {ROW}(name, value) VALUES ('新', ?1)", ("\0😀'",)))
    query = Statement(f"SELECT name, value, 9007199254740993, 0.1 FROM {ROW} WHERE name<>'none' -- all")
    seen = db.dbapi._read_committed(query, 4)[1]
    guard = scratch_guard(guard_rows(query, 4, seen))
    db.run(guard)
    same(conflicts(db, f"UPDATE {ROW} SET name='old'", guard), True, "a guard refuses other rows")
    same(names(db), ["新"], "rows of a batch that a guard refused")
    return "the same rows pass, others are refused"


@assumption("a COMMIT's row is unique", "after a lost answer it is unknown whether a block was applied")
def commit_rows(db: Scratch) -> str:
    row = scratch(Log().commit_row())
    db.run(row, insert("a"))
    text = db.refused(row, insert("b"))
    if f"{COMMIT}.id" not in text:
        raise DoesNotHold(f"D1 reports {shortened(sqlite_message(text))}")
    same(names(db), ["a"], "rows of a COMMIT that came twice")
    ask = f"SELECT at AS at FROM {COMMIT}"
    _ignored, before = db.run(row.sql.replace("INSERT", "INSERT OR IGNORE"), ask)
    same(len(before), 1, "rows of a COMMIT")
    return "the same COMMIT came twice and was applied once"


@assumption(
    "ids are reserved from sqlite_sequence",
    "models in a block get no ids, or two rows get the same: do not use this database",
)
def ids_are_reserved(db: Scratch) -> str:
    db.run(f"DELETE FROM sqlite_sequence WHERE name='{ROW}'")
    found = [db.run(*advance_sequence(ROW, 3))[1]]
    db.run(f"INSERT INTO {ROW}(id) VALUES (100)")
    found.append(db.run(*advance_sequence(ROW, 2))[1])
    same(found, [[["3"]], [["102"]]], "the last ids of 3 and of 2 behind 100")
    db.run(f"INSERT INTO {ROW}(name) VALUES ('next')")
    same(db.value(f"SELECT max(id) AS n FROM {ROW}"), 103, "the id that SQLite chooses next")
    return "above ids that were written and ids that were reserved"
