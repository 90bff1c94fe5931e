"""Assumptions about the schema and about SQL."""

import json
from datetime import UTC, datetime
from typing import Any

from ..guards import DEFER_FOREIGN_KEYS, REFERENCE_ERROR, guard_references
from ..statements import SQL
from ..values import MAX_BOUND, MAX_SQL, Statement
from .scratch import (
    NOTE,
    PARENT,
    PREFIX,
    ROW,
    Assumption,
    Scratch,
    names,
    registering_in,
    same,
    scratch_guard,
)

ASSUMPTIONS: list[Assumption] = []
assumption = registering_in(ASSUMPTIONS)


# ── Schema ───────────────────────────────────────────────────────────────────────────────────────────────


@assumption("schema changes are part of a batch", "a migration that fails leaves half of its changes behind")
def schema_is_atomic(db: Scratch) -> str:
    made = f"{PREFIX}made"
    changes = [
        f"CREATE TABLE {made} (a)",
        f"ALTER TABLE {made} ADD COLUMN b",
        f"CREATE INDEX {made}_a ON {made}(a)",
        f"DROP TABLE {NOTE}",
        f"INSERT INTO {made}(a, b) VALUES (1, 2)",
    ]
    existing = (
        "SELECT group_concat(name ORDER BY name) AS names FROM sqlite_master "
        f"WHERE name IN ('{made}','{NOTE}')"
    )
    db.refused(*changes, "SELECT nowhere")
    same(db.value(existing), NOTE, "tables of a batch that failed")
    shape = f"{PREFIX}shape"
    columns = f"SELECT json_group_array(name) FROM pragma_table_info('{shape}')"
    ask = f"CREATE TABLE {shape} AS SELECT * FROM (SELECT a, b, 1 AS c FROM {made}\n) LIMIT 0"
    same(json.loads(db.probe(columns, *changes, ask)), ["a", "b", "c"], "columns in a dry run")
    db.run(*changes[:3], changes[4], f"DROP TABLE {made}")
    same(db.value(existing), NOTE, "tables after a dry run and a batch that dropped its own")
    return "CREATE, ALTER, DROP: undone with their batch, and visible in a dry run"


@assumption(
    "foreign keys are checked immediately, or at the end where a batch defers them",
    "loaddata and migrations fail",
)
def foreign_keys(db: Scratch) -> str:
    child, parent = f"INSERT INTO {ROW}(parent) VALUES (1)", f"INSERT INTO {PARENT}(id) VALUES (1)"
    guard = scratch_guard(guard_references({ROW, PARENT}))
    db.refused(child, parent)
    db.run(DEFER_FOREIGN_KEYS, child, parent, guard)
    same(len(names(db)), 1, "rows of a batch with PRAGMA defer_foreign_keys")
    db.refused(child.replace("1)", "2)"), parent.replace("1)", "2)"))
    text = db.refused(DEFER_FOREIGN_KEYS, child.replace("1)", "3)"), guard)
    same(REFERENCE_ERROR.replace("_d1_", PREFIX) in text, True, "the guard on references refuses")
    return "PRAGMA defer_foreign_keys lasts one batch, pragma_foreign_key_check finds violations"


@assumption("the schema can be read", "inspectdb, migrations that rebuild a table, and flush fail")
def schema_is_read(db: Scratch) -> str:
    django: Any = db.django
    with django.cursor() as cursor:
        table = django.introspection.read_table(cursor, ROW)
    found = [[column.name for column in table.columns], [one.to_table for one in table.references]]
    same(found, [["id", "name", "n", "value", "parent"], [PARENT]], "columns and references")
    same(django.ops._references_graph(PARENT), [PARENT, ROW], "tables that reference a table")
    same(db.dbapi._affected_tables.of(ROW) >= {ROW, NOTE}, True, "tables that a trigger writes")
    return "pragma_table_xinfo, index_list, foreign_key_list beside sqlite_master, and triggers' SQL"


# ── SQL ──────────────────────────────────────────────────────────────────────────────────────────────────


CLOCK = datetime(2026, 11, 22, 1, 2, 3, tzinfo=UTC)
EXPRESSIONS: dict[str, Any] = {
    # the calendar and time zones (`temporal.py`, `zones.py`)
    f"unixepoch('{CLOCK:%Y-%m-%d %H:%M:%S}')": int(CLOCK.timestamp()),
    f"datetime({int(CLOCK.timestamp())},'unixepoch')": f"{CLOCK:%Y-%m-%d %H:%M:%S}",
    "date('2026-04-31','+0 days')": "2026-05-01",
    "time('24:00','+0 days') IS '24:00:00'": 0,
    "date('2026-11-25','-6 days','weekday 1')": "2026-11-23",
    "strftime('%G-%V','2027-01-01')": "2026-53",
    "strftime('%w%u','2026-11-22')": "07",
    "strftime('%d%w',0,'unixepoch','start of year','+364 days')": "314",
    # floats (`values.py`)
    "printf('%!.17g',0.1)": "0.10000000000000001",
    "printf('%d|%d',0.75*pow(2.0,53),CAST(floor(log2(0.75)) AS INTEGER))": "6755399441055744|-1",
    # functions of the ORM (`functions.py`)
    "json_array(ceil(1.5),pow(2,10),sqrt(9),tan(0),iif(1,2,3))": "[2.0,1024.0,3.0,0.0,2]",
    "instr('日本の灯り','灯')": 4,
    "replace(hex(zeroblob(3)),'00','ab')": "ababab",
    "(SELECT group_concat(substr('灯り',key,1),'' ORDER BY key DESC) FROM json_each('[0,0,0]'))": "り灯",
    # JSON
    "(SELECT json_group_array(json_array(value,json_array(1))) FROM json_each('[\"a\",9007199254740993]'))": (
        '[["a",[1]],[9007199254740993,[1]]]'
    ),
    "json_valid('{\"a\":1}')": 1,
    "'{\"a\":{\"b\":7}}'->>'$.a.b'": 7,
    "typeof(?1)": "text",
}  # fmt: skip


@assumption("the functions of SQLite that the backend uses exist", "queries with dates, JSON or numbers fail")
def functions(db: Scratch) -> str:
    asks = [Statement(f"SELECT {sql} AS found", ("x",) if "?1" in sql else ()) for sql in EXPRESSIONS]
    for ask, (found,), wanted in zip(asks, db.run(*asks), EXPRESSIONS.values(), strict=True):
        same(found[0], wanted, ask.sql.removesuffix(" AS found"))
    return f"{len(EXPRESSIONS)} expressions: calendar, JSON, numbers, texts"


@assumption("100 values can be bound", "statements with many long texts fail")
def bound_values(db: Scratch) -> str:
    listed = ",".join(f"(?{number})" for number in range(1, MAX_BOUND + 1))
    wanted = [f"row {number}" for number in range(MAX_BOUND)]
    db.run(Statement(f"INSERT INTO {ROW}(name) VALUES {listed}", tuple(wanted)))
    same(names(db), wanted, "rows")
    return f"{MAX_BOUND} in one statement"


@assumption("a statement may have 100 KB", "long INSERTs and IN lists fail")
def long_sql(db: Scratch) -> str:
    frame = "SELECT length('') AS n"
    length = MAX_SQL - len(frame)
    same(db.value(frame.replace("''", f"'{'x' * length}'")), length, "length")
    return f"{MAX_SQL:,} bytes"


@assumption("a result may have 100 columns", "queries of wide tables fail")
def wide_results(db: Scratch) -> str:
    wide = SQL(f"SELECT {','.join(map(str, range(100)))}")
    wide.columns = 100
    same(db.dbapi.cursor().execute(wide).fetchall(), [tuple(range(100))], "row")
    return "100 columns, 30 arguments of a function"


@assumption(
    "five queries can be joined by UNION, and a LIKE pattern may have 50 bytes",
    "some queries of the ORM fail",
)
def other_limits(db: Scratch) -> str:
    union = " UNION ALL ".join(f"SELECT {number} AS n" for number in range(5))
    conditions = " OR ".join(["1=0"] * 20)
    like = f"SELECT '{'灯' * 16}' LIKE '%{'灯' * 16}%' AS yes"
    found = db.run(union, f"SELECT ({conditions}) AS no", like)
    same(found, [[[number] for number in range(5)], [[0]], [[1]]], "rows")
    return "and 20 conditions in a row"
