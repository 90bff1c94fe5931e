"""What transactions did, as their clients saw it, and its format as lines of JSON."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

Outcome: TypeAlias = Literal["ok", "aborted", "unknown"]


@dataclass(frozen=True, slots=True)
class Append:
    key: int
    value: int  # unique for the key: a value identifies its writer


@dataclass(frozen=True, slots=True)
class Read:
    key: int
    values: tuple[int, ...]  # the whole list, oldest first


Operation: TypeAlias = Append | Read


@dataclass(frozen=True, slots=True)
class Transaction:
    process: int
    begin: int  # nanoseconds of a clock that all processes share
    end: int
    outcome: Outcome  # aborted: not applied; unknown: applied or not
    operations: tuple[Operation, ...]

    @property
    def appends(self) -> list[Append]:
        return [operation for operation in self.operations if isinstance(operation, Append)]

    @property
    def reads(self) -> list[Read]:
        return [operation for operation in self.operations if isinstance(operation, Read)]


def to_line(transaction: Transaction) -> str:
    """Return a transaction as one line of JSON."""
    operations = [
        ["append", done.key, done.value] if isinstance(done, Append) else ["read", done.key, done.values]
        for done in transaction.operations
    ]
    return json.dumps(
        {
            "process": transaction.process,
            "begin": transaction.begin,
            "end": transaction.end,
            "outcome": transaction.outcome,
            "operations": operations,
        }
    )


def from_line(line: str) -> Transaction:
    """Return the transaction of a line that `to_line` wrote."""
    fields: dict[str, Any] = json.loads(line)
    operations = tuple(
        Append(key, what) if verb == "append" else Read(key, tuple(what))
        for verb, key, what in fields.pop("operations")
    )
    return Transaction(operations=operations, **fields)


def merged(files: Iterable[Path]) -> list[Transaction]:
    """Return the files of several processes as one history, ordered by the beginning of the transactions."""
    lines = [line for file in files for line in file.read_text().splitlines()]
    return sorted(map(from_line, lines), key=lambda transaction: transaction.begin)
