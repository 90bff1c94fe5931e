"""What must hold of the statements that a COMMIT rests on: guards, its row, reserved ids."""

import json

from ..dbapi import COUNTS
from ..errors import clean
from ..transaction import (
    CONFLICT,
    Log,
    guard_changes,
    guard_rowid,
    guard_rows,
    take_ids,
)
from ..transport import Refused
from ..values import Statement
from .scratch import (
    COMMIT,
    PREFIX,
    ROW,
    Ask,
    Assumption,
    DoesNotHold,
    Scratch,
    adding_to,
    insert,
    names,
    same,
    scratch,
    scratch_guard,
    shortened,
)

ASSUMPTIONS: list[Assumption] = []
assumes = adding_to(ASSUMPTIONS)


def conflicts(db: Scratch, *asks: Ask) -> bool:
    """Tell whether a batch is refused by a guard; other refusals are raised."""
    try:
        db.run(*asks)
    except Refused as refusal:
        if CONFLICT.replace("_d1_", PREFIX) in str(refusal):
            return True
        raise
    return False


@assumes(
    "changes() right after a write tells its rows, whatever triggers do",
    "lost updates go unnoticed, or blocks conflict for nothing: do not use this database",
)
def guards_of_counts(db: Scratch) -> str:
    db.run(insert("a", "b", "c"))
    writes = [
        (2, f"UPDATE {ROW} SET n=n+1 WHERE name<>'c'"),  # two triggers' rows each
        (0, f"UPDATE {ROW} SET n=n+1 WHERE name='none'"),
        (3, f"INSERT INTO {ROW}(name) SELECT name||'2' FROM {ROW}"),
        (1, f"INSERT INTO {ROW}(name) VALUES ('a'),('d') ON CONFLICT DO NOTHING"),
        (7, f"DELETE FROM {ROW}"),
    ]
    for count, write in writes:
        for right in (True, False):
            guard = scratch(guard_changes(count if right else count + 1))
            undo = "SELECT nowhere"  # the batch is refused at its end unless a guard did it before
            for asks in ([write, guard, undo], [f"{write}\n;\n{guard.sql}", undo]):
                text = db.refused(*asks)
                if (CONFLICT.replace("_d1_", PREFIX) in text) is right:
                    raise DoesNotHold(f"a guard on {count} rows is {'refused' if right else 'passed'}")
        _write, counts = db.run(write, COUNTS)
        same(json.loads(counts[0][0])[0], count, "changes()")
    return f"{len(writes)} kinds of writes, in one element and in two"


@assumes(
    "last_insert_rowid() right after an INSERT tells its id, whatever triggers do",
    "rows inserted by SQL of one's own may refer to strangers",
)
def guards_of_ids(db: Scratch) -> str:
    give = f"INSERT INTO {ROW}(id, name) VALUES (41, 'a')"
    db.run(give, scratch(guard_rowid(41)))
    same(conflicts(db, insert("b"), scratch(guard_rowid(43))), True, "a guard on another id refuses")
    _insert, counts = db.run(insert("b"), COUNTS)
    same(json.loads(counts[0][0]), [1, 42], "changes() and last_insert_rowid()")
    return "with triggers that insert rows of their own"


@assumes(
    "rows can be held by a guard", "what a block rests on may change unnoticed: do not use this database"
)
def guards_of_rows(db: Scratch) -> str:
    db.run(Statement(f"INSERT INTO {ROW}(name, value) VALUES ('新', ?1)", ("\0😀'",)))
    query = Statement(f"SELECT name, value, 9007199254740993, 0.1 FROM {ROW} WHERE name<>'none' -- all")
    seen = db.dbapi._read_now(query, 4)[1]
    held = scratch_guard(guard_rows(query, 4, seen))
    db.run(held)
    same(conflicts(db, f"UPDATE {ROW} SET name='old'", held), True, "a guard refuses other rows")
    same(names(db), ["新"], "rows of a batch that a guard refused")
    return "the same rows pass, others are refused"


@assumes("a COMMIT's row is unique", "after a lost answer nobody could tell whether a block was applied")
def commit_rows(db: Scratch) -> str:
    row = scratch(Log().commit_row())
    db.run(row, insert("a"))
    text = db.refused(row, insert("b"))
    if f"{COMMIT}.id" not in text:
        raise DoesNotHold(f"D1 says {shortened(clean(text))}")
    same(names(db), ["a"], "rows of a COMMIT that came twice")
    ask = f"SELECT at AS at FROM {COMMIT}"
    _ignored, before = db.run(row.sql.replace("INSERT", "INSERT OR IGNORE"), ask)
    same(len(before), 1, "rows of a COMMIT")
    return "the same COMMIT came twice and was applied once"


@assumes(
    "ids are reserved from sqlite_sequence",
    "models in a block get no ids, or two rows get the same: do not use this",
)
def ids_are_reserved(db: Scratch) -> str:
    db.run(f"DELETE FROM sqlite_sequence WHERE name='{ROW}'")
    found = [db.run(*take_ids(ROW, 3))[1]]
    db.run(f"INSERT INTO {ROW}(id) VALUES (100)")
    found.append(db.run(*take_ids(ROW, 2))[1])
    same(found, [[["3"]], [["102"]]], "the last ids of 3 and of 2 behind 100")
    db.run(f"INSERT INTO {ROW}(name) VALUES ('next')")
    same(db.value(f"SELECT max(id) AS n FROM {ROW}"), 103, "the id that SQLite chooses next")
    return "past ids that were written and those that were reserved"
