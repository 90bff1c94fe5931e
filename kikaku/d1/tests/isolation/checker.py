"""Judge a history of transactions over lists: which isolation did the database really give?

Every transaction appends to lists and reads whole lists. As every value is appended once, a read tells whose
appends it saw and in which order; from all reads together follows the order in which the versions of each
list were installed, and from that a graph of who must have come before whom. A cycle in it can not have
happened serially. The definitions are Adya's (Weak Consistency, MIT 1999), the inference from lists is Elle's
(Kingsbury and Alvaro, Elle, VLDB 2020). Written here because Elle needs a JVM and comes by Clojars alone,
which is no registry that these tests may count on; no port of it is on PyPI, npm or Debian.

    G0       a cycle of ww: writes of two transactions interleave
    G1a      a read of what was aborted
    G1b      a read of what its writer overwrote before it committed
    G1c      a cycle of ww and wr
    G-single a cycle with one rw: a lost update, a read skew
    G2       a cycle with several rw: a write skew
    …-realtime  the same, closed by "had ended before the other began"

    ww  wrote the version before the other's      wr  wrote what the other read
    rw  read the version before the other's
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

from .history import Append, Read, Transaction

Level: TypeAlias = Literal["read committed", "serializable", "strict serializable"]
Kind: TypeAlias = Literal["ww", "wr", "rw", "realtime"]
Graph: TypeAlias = dict[int, dict[int, dict[Kind, str]]]  # from, to, and why, by numbers of the history
Writers: TypeAlias = dict[tuple[int, int], int]  # who appended a value to a key

_COMMITTED = {"G0", "G1a", "G1b", "G1c"} | {
    "incompatible order",  # two reads of a key, of which neither begins with the other
    "duplicate",  # a value is twice in a list
    "stranger",  # a value that nobody appended
    "future read",  # a transaction reads what it appends later
    "unseen append",  # … or does not read what it appended before
    "lost append",  # a committed append is not in the final state
}
_SERIALIZABLE = _COMMITTED | {"internal", "G-single", "G2"}  # internal: the list moved within a transaction
FORBIDDEN: dict[Level, set[str]] = {
    "read committed": _COMMITTED,
    "serializable": _SERIALIZABLE,
    "strict serializable": _SERIALIZABLE | {f"{kind}-realtime" for kind in ("G0", "G1c", "G-single", "G2")},
}
# a cycle has one edge of the first kind, the way back is made of the others; the gravest come first
_LADDER: tuple[tuple[Kind, set[Kind]], ...] = (
    ("ww", {"ww"}),
    ("wr", {"ww", "wr"}),
    ("rw", {"ww", "wr"}),
    ("rw", {"ww", "wr", "rw"}),
)


@dataclass(frozen=True)
class Anomaly:
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


def check(
    history: Sequence[Transaction], level: Level, *, final: Mapping[int, Sequence[int]] | None = None
) -> list[Anomaly]:
    """Find what `level` forbids.

    Of cycles one example is told for each knot of transactions. What they call T7 is `history[7]`.

    Args:
        final: every list after all transactions had ended; an append that is missing there was lost.

    Raises:
        ValueError: two appends of the same value to the same key; such a history proves nothing.
    """
    history = [*history, *_last_look(history, final)]
    writers = _writers(history)
    committed = _committed(history, writers)
    orders = _orders(history, committed)
    found = [
        *_wrong_reads(history, committed, writers),
        *_incompatible(history, committed, orders),
        *_lost(history, final),
    ]
    graph = _graph(history, committed, writers, orders)
    ladder = _LADDER[:2] if level == "read committed" else _LADDER
    found += _cycles(graph, ladder)
    if level == "strict serializable":
        _add_realtime(graph, history, committed)
        found += _cycles(graph, [(first, {*rest, "realtime"}) for first, rest in ladder])
    return [anomaly for anomaly in dict.fromkeys(found) if anomaly.kind in FORBIDDEN[level]]


# ── What happened ────────────────────────────────────────────────────────────────────────────────────────


def _last_look(
    history: Sequence[Transaction], final: Mapping[int, Sequence[int]] | None
) -> Iterator[Transaction]:
    """Make the final state a reader like any other, after all others."""
    if final is not None:
        after = max((transaction.end for transaction in history), default=0) + 1
        reads = tuple(Read(key, tuple(values)) for key, values in final.items())
        yield Transaction(-1, after, after + 1, "ok", reads)


def _writers(history: Sequence[Transaction]) -> Writers:
    writers: Writers = {}
    for number, transaction in enumerate(history):
        for append in transaction.appends:
            if (append.key, append.value) in writers:
                raise ValueError(f"{append} is in the history twice")
            writers[append.key, append.value] = number
    return writers


def _committed(history: Sequence[Transaction], writers: Writers) -> list[int]:
    """Find who committed: who was told so, and who was not but has been seen by those."""
    told = {number for number, transaction in enumerate(history) if transaction.outcome == "ok"}
    seen = {
        writers.get((read.key, value), -1)
        for number in told
        for read in history[number].reads
        for value in read.values
    }
    return sorted(told | {number for number in seen if number >= 0 and history[number].outcome == "unknown"})


def _orders(history: Sequence[Transaction], committed: Iterable[int]) -> dict[int, tuple[int, ...]]:
    """Infer the order of each key's versions: the longest list that was read, of equal ones the latest."""
    orders: dict[int, tuple[int, ...]] = {}
    for number in committed:
        for read in history[number].reads:
            if len(read.values) >= len(orders.get(read.key, ())):
                orders[read.key] = read.values
    return orders


# ── What one read is enough to see ───────────────────────────────────────────────────────────────────────


def _wrong_reads(
    history: Sequence[Transaction], committed: Iterable[int], writers: Writers
) -> Iterator[Anomaly]:
    for number in committed:
        yield from _wrong_within(number, history[number])
        for read in history[number].reads:
            told = f"T{number} read {read.values} of key {read.key}"
            if len(set(read.values)) < len(read.values):
                yield Anomaly("duplicate", told)
            for value in read.values:
                writer = writers.get((read.key, value))
                if writer is None:
                    yield Anomaly("stranger", f"{told}, and nobody appended {value}")
                elif history[writer].outcome == "aborted":
                    yield Anomaly("G1a", f"{told}, and T{writer}, which appended {value}, was aborted")
            writer = writers.get((read.key, read.values[-1])) if read.values else None
            if writer is not None and writer != number:
                whole = [append.value for append in history[writer].appends if append.key == read.key]
                if read.values[-1] != whole[-1]:
                    yield Anomaly("G1b", f"{told}, and T{writer} appended {whole}")


def _wrong_within(number: int, transaction: Transaction) -> Iterator[Anomaly]:
    """Compare a transaction with itself."""
    mine: defaultdict[int, list[int]] = defaultdict(list)
    later = set(transaction.appends)
    expected: dict[int, tuple[int, ...]] = {}  # since the first read of a key
    for operation in transaction.operations:
        key = operation.key
        if isinstance(operation, Append):
            later.discard(operation)
            mine[key].append(operation.value)
            if key in expected:
                expected[key] += (operation.value,)
            continue
        values = operation.values
        told = f"T{number} read {values} of key {key}"
        if any(Append(key, value) in later for value in values):
            yield Anomaly("future read", f"{told} and appended to it later")
        if [value for value in values if value in mine[key]] != mine[key]:
            yield Anomaly("unseen append", f"{told} after it had appended {mine[key]}")
        if values != expected.get(key, values) or values[len(values) - len(mine[key]) :] != tuple(mine[key]):
            yield Anomaly(
                "internal", f"{told}, but {expected.get(key, ('…', *mine[key]))} was to be expected"
            )
        expected[key] = values


def _incompatible(
    history: Sequence[Transaction], committed: Iterable[int], orders: Mapping[int, tuple[int, ...]]
) -> Iterator[Anomaly]:
    for number in committed:
        for read in history[number].reads:
            order = orders[read.key]
            if order[: len(read.values)] != read.values:
                text = f"T{number} read {read.values} of key {read.key}, and somebody {order}"
                yield Anomaly("incompatible order", text)


def _lost(history: Sequence[Transaction], final: Mapping[int, Sequence[int]] | None) -> Iterator[Anomaly]:
    if final is None:
        return
    for number, transaction in enumerate(history):
        for append in transaction.appends if transaction.outcome == "ok" else ():
            if append.value not in final.get(append.key, ()):
                yield Anomaly("lost append", f"T{number} appended {append.value} to key {append.key}")


# ── Who must have come before whom ───────────────────────────────────────────────────────────────────────


def _graph(
    history: Sequence[Transaction],
    committed: Sequence[int],
    writers: Writers,
    orders: Mapping[int, tuple[int, ...]],
) -> Graph:
    graph: Graph = {number: {} for number in committed}

    def edge(before: int, after: int, kind: Kind, why: str) -> None:
        if before != after:
            graph[before].setdefault(after, {}).setdefault(kind, why)

    # the versions of each key, told by the value that made them; behind the last come those that nobody read
    versions = {
        key: [value for value in dict.fromkeys(order) if writers.get((key, value)) in graph]
        for key, order in orders.items()
    }
    unread: defaultdict[int, list[int]] = defaultdict(list)
    for number in committed:
        for append in history[number].appends:
            if append.value not in orders.get(append.key, ()):
                unread[append.key].append(append.value)
    for key in versions.keys() | unread.keys():
        known = versions.setdefault(key, [])
        for value, following in pairwise(known):
            edge(writers[key, value], writers[key, following], "ww", f"{value}, {following} in key {key}")
        for value in unread[key] if known else ():
            edge(writers[key, known[-1]], writers[key, value], "ww", f"{known[-1]}, {value} in key {key}")
    for number in committed:
        for read in history[number].reads:
            key, known = read.key, versions[read.key]
            if orders[key][: len(read.values)] != read.values:
                continue  # told as incompatible: where it stands can not be said
            seen = sum(value in read.values for value in known)
            if seen:
                edge(writers[key, known[seen - 1]], number, "wr", f"{known[seen - 1]} in key {key}")
            for value in known[seen : seen + 1] or unread[key]:
                edge(number, writers[key, value], "rw", f"no {value} yet in key {key}")
    return graph


def _add_realtime(graph: Graph, history: Sequence[Transaction], committed: Sequence[int]) -> None:
    """Add who had ended before another began; what follows from two such edges is left out."""
    moments = sorted(
        [(history[number].begin, 1, number) for number in committed]
        # nobody knows when one of unknown outcome was applied: it never ends
        + [(history[number].end, 0, number) for number in committed if history[number].outcome == "ok"]
    )
    ended: set[int] = set()
    before: dict[int, set[int]] = {}
    for _moment, begins, number in moments:
        if begins:
            before[number] = set(ended)
            for earlier in ended:
                graph[earlier].setdefault(number, {})["realtime"] = "ended before"
        else:
            ended -= before[number]
            ended.add(number)


# ── Cycles ───────────────────────────────────────────────────────────────────────────────────────────────


def _cycles(graph: Graph, ladder: Iterable[tuple[Kind, set[Kind]]]) -> Iterator[Anomaly]:
    """Tell one cycle of each step of the ladder for each knot."""
    for first, rest in ladder:
        for knot in _knots(graph, {first, *rest}):
            for a in sorted(knot):
                starts = (b for b, kinds in graph[a].items() if first in kinds and b in knot)
                back = next(filter(None, (_path(graph, b, a, rest, knot) for b in starts)), None)
                if back:
                    yield _named(graph, [a, *back], first, rest)
                    break


def _named(graph: Graph, cycle: list[int], first: Kind, rest: set[Kind]) -> Anomaly:
    kinds: list[Kind] = []
    text = f"T{cycle[0]}"
    for a, b in pairwise(cycle):
        possible = {first} if not kinds else rest
        weakest: tuple[Kind, ...] = ("ww", "wr", "realtime", "rw")
        kind = next(kind for kind in weakest if kind in possible and kind in graph[a][b])
        kinds.append(kind)
        text += f" –{kind} ({graph[a][b][kind]})→ T{b}"
    name = (
        ("G-single" if kinds.count("rw") == 1 else "G2")
        if "rw" in kinds
        else "G1c"
        if "wr" in kinds
        else "G0"
    )
    return Anomaly(name + ("-realtime" if "realtime" in kinds else ""), text)


def _path(graph: Graph, start: int, goal: int, kinds: set[Kind], within: set[int]) -> list[int] | None:
    """Find a shortest way."""
    came: dict[int, int | None] = {start: None}
    queue = deque([start])
    while queue:
        here = queue.popleft()
        if here == goal:
            way: list[int] = []
            step: int | None = here
            while step is not None:
                way.append(step)
                step = came[step]
            return way[::-1]
        for there, edges in graph[here].items():
            if there in within and there not in came and not kinds.isdisjoint(edges):
                came[there] = here
                queue.append(there)
    return None


def _knots(graph: Graph, kinds: set[Kind]) -> list[set[int]]:
    """Find the strongly connected components of more than one transaction (Tarjan 1972, without recursion)."""
    ways = {a: [b for b, edges in out.items() if not kinds.isdisjoint(edges)] for a, out in graph.items()}
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    knots: list[set[int]] = []
    for root in graph:
        work = [] if root in index else [(root, iter(ways[root]))]
        while work:
            node, following = work[-1]
            if node not in index:
                index[node] = low[node] = len(index)
                stack.append(node)
                on_stack.add(node)
            for there in following:
                if there not in index:
                    work.append((there, iter(ways[there])))
                    break
                if there in on_stack:
                    low[node] = min(low[node], index[there])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    at = stack.index(node)
                    knot = set(stack[at:])
                    del stack[at:]
                    on_stack -= knot
                    if len(knot) > 1:
                        knots.append(knot)
    return knots
