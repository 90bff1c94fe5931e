"""A simulated database with D1's kind of transactions, for tests of the checker with known isolation.

A block's writes are kept and applied at its commit. The isolation depends on how many of its reads are
guarded: read again at the commit, where another result aborts the block.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from .history import Append, Operation, Outcome, Read, Transaction

Guards: TypeAlias = Literal["none", "after own writes", "all"]
Script: TypeAlias = Sequence[tuple[bool, int]]  # (whether it appends or reads, key)
Lists: TypeAlias = dict[int, tuple[int, ...]]


@dataclass
class _Block:
    process: int
    script: Script
    begin: int = -1
    done: list[Operation] = field(default_factory=list)
    guarded: list[tuple[int, Read]] = field(default_factory=list)  # (number of writes before it, read)

    def writes(self) -> list[Append]:
        return [operation for operation in self.done if isinstance(operation, Append)]


def simulate(
    scripts: Sequence[Script], turns: Sequence[int], guards: Guards
) -> tuple[list[Transaction], Lists]:
    """Run the scripts, each a transaction, step by step in the order of `turns`, then the rest one by one.

    Returns:
        The history and the final state.
    """
    state: Lists = defaultdict(tuple)
    waiting = [_Block(number, script) for number, script in enumerate(scripts)]
    history: list[Transaction] = []
    clock = appended = 0
    rest = [number for number, script in enumerate(scripts) for _step in range(len(script) + 1)]
    for turn in [*turns, *rest]:
        block = waiting[turn % len(waiting)]
        clock += 1
        if block.begin < 0:
            block.begin = clock
        step = len(block.done)
        if step < len(block.script):
            append, key = block.script[step]
            appended += append
            if append:
                block.done.append(Append(key, appended))
                continue
            written = block.writes()
            read = Read(key, _after(state, written, key))
            block.done.append(read)
            if guards == "all" or (guards == "after own writes" and any(one.key == key for one in written)):
                block.guarded.append((len(written), read))
        elif len(history) < len(scripts) and block.process not in {one.process for one in history}:
            outcome = _commit(state, block)
            history.append(Transaction(block.process, block.begin, clock, outcome, tuple(block.done)))
    return history, dict(state)


def _after(state: Lists, written: Sequence[Append], key: int) -> tuple[int, ...]:
    return (*state[key], *(append.value for append in written if append.key == key))


def _commit(state: Lists, block: _Block) -> Outcome:
    written = block.writes()
    for already, read in block.guarded:
        if _after(state, written[:already], read.key) != read.values:
            return "aborted"
    for append in written:
        state[append.key] += (append.value,)
    return "ok"
