"""Assumptions about values: what is written is what is read."""

import random
import struct
from collections.abc import Sequence
from typing import Any

from ..statements import SQL
from ..transport import Gateway
from ..values import MAX_BLOB
from .scratch import (
    ROW,
    Assumption,
    DoesNotHold,
    Scratch,
    registering_in,
    same,
)

ASSUMPTIONS: list[Assumption] = []
assumption = registering_in(ASSUMPTIONS)


def check_round_trip(db: Scratch, values: Sequence[Any]) -> None:
    """Write values and read them, in a rolled back block and in autocommit. Raises `DoesNotHold`."""
    db.clear()
    connection = db.dbapi
    write = f"INSERT INTO {ROW}(id, value) VALUES {','.join(['(%s, %s)'] * len(values))}"
    read = SQL(f"SELECT value FROM {ROW} ORDER BY id")
    read.columns = 1
    pairs = [one for pair in enumerate(values) for one in pair]
    for autocommit in (False, True):
        connection.autocommit = autocommit
        try:
            connection.cursor().execute(write, pairs)
            found = [row[0] for row in connection.cursor().execute(read).fetchall()]
        finally:
            connection.autocommit = True
        for value, back in zip(values, found, strict=True):
            same(back, value, "in autocommit" if autocommit else "in a block")


@assumption("integers of 64 bits are exact", "large ids and amounts change in transit")
def integers(db: Scratch) -> str:
    check_round_trip(db, [0, -1, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)])
    return "also beyond 2^53, to both limits"


@assumption(
    "floats are exact", "numbers differ in their last digits, and guards on them conflict without a reason"
)
def floats(db: Scratch) -> str:
    chance = random.Random(2026)  # noqa: S311  (the same values each time)
    bits = [struct.unpack("<d", chance.randbytes(8))[0] for _number in range(60)]
    special = [0.1, 1 / 3, 1e22, 1e23, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, float("inf")]
    values = special + [value for value in bits if value == value]
    check_round_trip(db, values)
    return f"{len(values)} of all sizes"


@assumption("texts are exact", "texts change in transit")
def texts(db: Scratch) -> str:
    odd = [
        "",
        "日本語",
        "😀 👩‍👩‍👧",
        "a\0b",
        "\0",
        "\r\n\t\x01\x7f",
        "'\"\\;--/*%s?",
        "\u2028\ufeff\uffff",
        "1",
        "null",
    ]
    check_round_trip(db, [*odd, "長い" * 4_000, "x" * 30_000 + "\0", None])
    return "日本語, emoji, NUL, newlines, quotes; as literals and bound; NULL"


@assumption("blobs are exact", "files and other bytes in the database change in transit")
def blobs(db: Scratch) -> str:
    all_bytes = bytes(range(256))
    check_round_trip(db, [b"", b"\0", all_bytes])
    if not isinstance(db.transport, Gateway):
        return "as literals; through REST those over 10,000 bytes are refused"
    check_round_trip(db, [all_bytes * 64])
    _large(db, all_bytes * (MAX_BLOB // 256))
    return f"as literals, and bound up to {MAX_BLOB:,} bytes"


@assumption("a value may have 1.9 MB", "large texts are refused with fewer bytes than the documented 2 MB")
def large_values(db: Scratch) -> str:
    size = 1_900_000
    _large(db, "x" * size)
    return f"a text of {size:,} bytes, written and read"


def _large(db: Scratch, value: Any) -> None:
    read = SQL(f"SELECT value FROM {ROW}")
    read.columns = 1
    db.clear()
    db.dbapi.cursor().execute(f"INSERT INTO {ROW}(value) VALUES (%s)", [value])
    (found,) = db.dbapi.cursor().execute(read).fetchall()
    if found[0] != value:
        raise DoesNotHold(f"{len(found[0]):,} of {len(value):,} came back, or they differ")
