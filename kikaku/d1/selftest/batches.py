"""Assumptions about batches, and about errors that carry rows out of a batch."""

import json

from ..errors import TOO_BIG_ERRORS, is_missing_setup, sqlite_message
from ..log import MAX_JOINED_BYTES, Log
from ..transport import NoAnswer
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
    shortened,
)

ASSUMPTIONS: list[Assumption] = []
assumption = registering_in(ASSUMPTIONS)


# ── Batches ──────────────────────────────────────────────────────────────────────────────────────────────


@assumption(
    "a batch is applied all or not at all", "COMMIT could leave half of a block: do not use this database"
)
def batch_is_atomic(db: Scratch) -> str:
    db.refused(insert("a"), insert("b"), insert("a"))
    same(names(db), [], "rows of a batch whose last statement failed")
    found = db.run(insert("a"), f"SELECT count(*) AS n FROM {ROW}", insert("b"))
    same([found[1], names(db)], [[[1]], ["a", "b"]], "what a batch reads of its own writes, and leaves")
    return "the last of three failed and none was applied; a batch reads its own writes"


@assumption(
    "an element of a batch may hold several statements, joined by `;`",
    "blocks of more than a few statements fail; they would have to be sent separately, ten times as slow",
)
def statements_are_joined(db: Scratch) -> str:
    same("UNIQUE" in db.refused("\n;\n".join([insert("a"), insert("b"), insert("a")])), True, "the refusal")
    same(names(db), [], "rows of an element whose last statement failed")
    db.run(Statement(f"{insert('a; b')}\n;\nINSERT INTO {ROW}(name) VALUES (?1)", ("bound",)))
    same(names(db), ["a; b", "bound"], "rows of an element whose last statement has a binding")
    one = f"UPDATE {ROW} SET value='x' WHERE name='bound'"
    count = MAX_JOINED_BYTES // (len(one) + 3)
    db.run("\n;\n".join([one] * count))
    return f"{count:,} in one element, all or none; bindings go to the last"


@assumption(
    "a batch of 1,100 elements is one request",
    "blocks of many statements fail: a Worker may make 1,000 queries a request (50 on the free plan)",
)
def many_elements(db: Scratch) -> str:
    count = 1_100
    same(len(db.run(*["SELECT 1 AS one"] * count)), count, "results")
    return f"{count:,} results"


@assumption("a batch of 7 MB is accepted", "long blocks fail with fewer bytes than the documented 8 MB")
def large_batch(db: Scratch) -> str:
    part = 90_000
    found = db.run(*[f"SELECT length('{'x' * part}') AS n"] * (7_000_000 // part))
    same({row[0][0] for row in found}, {part}, "lengths")
    return f"{len(found)} statements of {part:,} bytes"


@assumption("a read sees what others have just committed", "reads come from a replica: blocks would conflict")
def reads_are_current(db: Scratch) -> str:
    other = Scratch(db.django.copy(db.django.alias))
    try:
        for number in range(5):
            db.run(insert(f"row {number}"))
            same(len(names(other)), number + 1, "rows that another connection sees")
    finally:
        other.django.close()
    return "another connection saw each of 5 rows immediately"


@assumption(
    "a single statement returns the names of its columns",
    "raw SQL with equal names or without rows is misread",
)
def columns_are_named(db: Scratch) -> str:
    found = db.transport.raw(Statement("SELECT 1 AS a, 'x' AS b, 2 AS a, 3 AS '9' WHERE 0"), repeatable=False)
    same([found.columns, found.rows], [["a", "b", "a", "9"], []], "columns and rows")
    return "equal names, and the names of an empty result"


@assumption(
    "D1 reports the rows that it bills", "connection.queries shows wrong numbers; nothing else depends on it"
)
def rows_are_billed(db: Scratch) -> str:
    wrote, read = db.results(insert("a", "b"), f"SELECT name AS name FROM {ROW}")
    if wrote.written < 2 or read.read < 2:
        raise DoesNotHold(f"{wrote.written} written and {read.read} read of 2 rows")
    return f"2 rows: {wrote.written} written (with indexes and triggers), {read.read} read"


# ── Errors that carry rows ───────────────────────────────────────────────────────────────────────────────


@assumption(
    "an error's text carries rows out of a batch that is undone",
    "a block can read nothing, and no write can be dry-run: do not use this database",
)
def errors_carry_rows(db: Scratch) -> str:
    text = '新しい "灯り" 😀 \\ \' \u2028 \0\r\n: SQLITE_CONSTRAINT D1_ERROR: _d1_rows: ]'
    select = f"SELECT json_group_array(json_array(id, value)) FROM {ROW}"
    row = Statement(f"INSERT INTO {ROW}(id, value) VALUES (7, ?1)", (text,))
    same(json.loads(db.probe(select, row)), [[7, text]], "rows")
    same(names(db), [], "rows that a dry run left")
    return "with quotes, NUL, emoji, 日本語 and newlines; nothing was applied"


@assumption(
    "an error's text may have 1.9 MB",
    "within a block, results that are larger than the largest complete one fail: read less at once there",
)
def size_of_errors(db: Scratch) -> str:
    largest, smallest_lost, reason = 0, 0, ""
    for size in (1_000, 10_000, 100_000, 500_000, 1_000_000, 1_500_000, 1_900_000):
        reason = _lost(db, size)
        if reason:
            smallest_lost = size
            break
        largest = size
    while smallest_lost - largest > max(largest // 50, 100):
        middle = (largest + smallest_lost) // 2
        if _lost(db, middle):
            smallest_lost = middle
        else:
            largest = middle
    db.figures["largest_error_text"] = largest
    if reason and not any(words in reason for words in TOO_BIG_ERRORS):
        raise DoesNotHold(f"the largest that came complete: {largest:,} characters; beyond: {reason}")
    return f"the largest that came complete: {largest:,} characters"


def _lost(db: Scratch, size: int) -> str:
    """Return why a payload of so many characters is not complete in an error's text; empty if it is."""
    zeros = size // 2 * 2 - 4
    try:
        payload = db.probe(f"""SELECT '["'||hex(zeroblob({zeros // 2}))||'"]'""")
    except DoesNotHold as error:
        return str(error)
    except NoAnswer as no_answer:
        return str(no_answer)
    return "" if payload == f'["{"0" * zeros}"]' else "other characters came"


@assumption(
    "results over 2 MB are refused as too big", "large results within a block fail instead of coming in pages"
)
def too_big_is_reported(db: Scratch) -> str:
    half = "hex(zeroblob(600000))"
    text = db.refused(f"INSERT INTO {PREFIX}probe(payload) SELECT {half}||{half}")
    if not any(words in text for words in TOO_BIG_ERRORS):
        raise DoesNotHold(f"D1 reports {shortened(sqlite_message(text))}")
    return sqlite_message(text)


@assumption(
    "errors name what was violated",
    "IntegrityError, a missing table and a conflict are mistaken for one another",
)
def messages_of_errors(db: Scratch) -> str:
    wrong: list[tuple[str, list[Ask]]] = [
        (f"UNIQUE constraint failed: {ROW}.name", [insert("a"), insert("a")]),
        (f"UNIQUE constraint failed: {ROW}.id", [f"INSERT INTO {ROW}(id) VALUES (1),(1)"]),
        (f"NOT NULL constraint failed: {ROW}.n", [f"INSERT INTO {ROW}(n) VALUES (NULL)"]),
        ("CHECK constraint failed: n >= 0", [f"INSERT INTO {ROW}(n) VALUES (-1)"]),
        ("FOREIGN KEY constraint failed", [f"INSERT INTO {ROW}(parent) VALUES (404)"]),
        ("datatype mismatch", [f"INSERT INTO {ROW}(id) VALUES ('x')"]),
        (f"no such table: {PREFIX}none", [f"SELECT 1 AS one FROM {PREFIX}none"]),
        ("no such column: nowhere", [f"SELECT nowhere FROM {ROW}"]),
        ('near "SELEC": syntax error', ["SELEC 1"]),
    ]
    for words, asks in wrong:
        text = db.refused(*asks)
        found = sqlite_message(text)
        if not found.startswith(words):
            raise DoesNotHold(f"D1 reports {shortened(found)!r} instead of {words!r}")
        if "constraint" in words and "SQLITE_CONSTRAINT" not in text:
            raise DoesNotHold(f"no SQLITE_CONSTRAINT in {shortened(text)!r}")
    missing = db.refused(scratch(Log().commit_row()).sql.replace(COMMIT, "_d1_commit_none"))
    same(
        is_missing_setup(missing.replace("_d1_commit_none", "_d1_commit")),
        True,
        "a missing table of the backend's own",
    )
    return f"{len(wrong)} kinds, with SQLite's own messages"
