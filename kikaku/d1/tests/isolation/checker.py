"""Find the isolation anomalies in a history of transactions over lists.

Every transaction appends to lists and reads whole lists. Every value is appended once, so a read shows which
appends it saw and in which order. All reads together give the order of the versions of each list, and from
that follows a graph of which transaction must precede which. A cycle in it is impossible in a serial
execution. The definitions are Adya's (Weak Consistency, MIT 1999), the inference from lists is Elle's
(Kingsbury and Alvaro, Elle, VLDB 2020). Elle itself needs a JVM and is published only on Clojars; there is no
port of it on PyPI, npm or Debian.

    G0       a cycle of ww: writes of two transactions interleave
    G1a      a read of an aborted write
    G1b      a read of a write that its transaction overwrote before it committed
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
# [from][to][kind] is the reason; transactions are numbers of the history
Graph: TypeAlias = dict[int, dict[int, dict[Kind, str]]]
Writers: TypeAlias = dict[tuple[int, int], int]  # (key, value): the transaction that appended it

_COMMITTED = {"G0", "G1a", "G1b", "G1c"} | {
    "incompatible order",  # two reads of a key, of which neither begins with the other
    "duplicate",  # a value is twice in a list
    "unknown value",  # a value that no transaction appended
    "future read",  # a transaction reads what it appends later
    "unseen append",  # … or does not read what it appended before
    "lost append",  # a committed append is not in the final state
}
_SERIALIZABLE = _COMMITTED | {"internal", "G-single", "G2"}  # internal: the list changed within a transaction
FORBIDDEN: dict[Level, set[str]] = {
    "read committed": _COMMITTED,
    "serializable": _SERIALIZABLE,
    "strict serializable": _SERIALIZABLE | {f"{kind}-realtime" for kind in ("G0", "G1c", "G-single", "G2")},
}
# a cycle has one edge of the first kind, and the way back consists of the others; the gravest come first
_CYCLE_KINDS: tuple[tuple[Kind, set[Kind]], ...] = (
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
    """Return the anomalies that `level` forbids.

    Of cycles there is one example for each strongly connected component. T7 is `history[7]`.

    Args:
        final: every list after all transactions have ended; an append that is missing there was lost.

    Raises:
        ValueError: two appends of the same value to the same key, from which nothing can be inferred.
    """
    history = [*history, *_final_reader(history, final)]
    writers = _writers(history)
    committed = _committed(history, writers)
    orders = _orders(history, committed)
    found = [
        *_wrong_reads(history, committed, writers),
        *_incompatible(history, committed, orders),
        *_lost(history, final),
    ]
    graph = _graph(history, committed, writers, orders)
    cycle_kinds = _CYCLE_KINDS[:2] if level == "read committed" else _CYCLE_KINDS
    found += _cycles(graph, cycle_kinds)
    if level == "strict serializable":
        _add_realtime(graph, history, committed)
        found += _cycles(graph, [(first, {*rest, "realtime"}) for first, rest in cycle_kinds])
    return [anomaly for anomaly in dict.fromkeys(found) if anomaly.kind in FORBIDDEN[level]]


# ── Inference ────────────────────────────────────────────────────────────────────────────────────────────


def _final_reader(
    history: Sequence[Transaction], final: Mapping[int, Sequence[int]] | None
) -> Iterator[Transaction]:
    """Yield the final state as a transaction that reads after all others."""
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
    """Return the transactions that reported a commit, and unknown ones whose writes those have read."""
    reported = {number for number, transaction in enumerate(history) if transaction.outcome == "ok"}
    seen = {
        writers.get((read.key, value), -1)
        for number in reported
        for read in history[number].reads
        for value in read.values
    }
    return sorted(
        reported | {number for number in seen if number >= 0 and history[number].outcome == "unknown"}
    )


def _orders(history: Sequence[Transaction], committed: Iterable[int]) -> dict[int, tuple[int, ...]]:
    """Return the order of each key's versions: the longest list that was read, of equal ones the latest."""
    orders: dict[int, tuple[int, ...]] = {}
    for number in committed:
        for read in history[number].reads:
            if len(read.values) >= len(orders.get(read.key, ())):
                orders[read.key] = read.values
    return orders


# ── Anomalies of a single read ───────────────────────────────────────────────────────────────────────────


def _wrong_reads(
    history: Sequence[Transaction], committed: Iterable[int], writers: Writers
) -> Iterator[Anomaly]:
    for number in committed:
        yield from _wrong_within(number, history[number])
        for read in history[number].reads:
            text = f"T{number} read {read.values} of key {read.key}"
            if len(set(read.values)) < len(read.values):
                yield Anomaly("duplicate", text)
            for value in read.values:
                writer = writers.get((read.key, value))
                if writer is None:
                    yield Anomaly("unknown value", f"{text}, and no transaction appended {value}")
                elif history[writer].outcome == "aborted":
                    yield Anomaly("G1a", f"{text}, and T{writer}, which appended {value}, was aborted")
            writer = writers.get((read.key, read.values[-1])) if read.values else None
            if writer is not None and writer != number:
                appended = [append.value for append in history[writer].appends if append.key == read.key]
                if read.values[-1] != appended[-1]:
                    yield Anomaly("G1b", f"{text}, and T{writer} appended {appended}")


def _wrong_within(number: int, transaction: Transaction) -> Iterator[Anomaly]:
    """Yield the anomalies within one transaction."""
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
        text = f"T{number} read {values} of key {key}"
        if any(Append(key, value) in later for value in values):
            yield Anomaly("future read", f"{text} and appended to it later")
        if [value for value in values if value in mine[key]] != mine[key]:
            yield Anomaly("unseen append", f"{text} after it had appended {mine[key]}")
        if values != expected.get(key, values) or values[len(values) - len(mine[key]) :] != tuple(mine[key]):
            yield Anomaly("internal", f"{text}, but {expected.get(key, ('…', *mine[key]))} was expected")
        expected[key] = values


def _incompatible(
    history: Sequence[Transaction], committed: Iterable[int], orders: Mapping[int, tuple[int, ...]]
) -> Iterator[Anomaly]:
    for number in committed:
        for read in history[number].reads:
            order = orders[read.key]
            if order[: len(read.values)] != read.values:
                text = f"T{number} read {read.values} of key {read.key}, and another {order}"
                yield Anomaly("incompatible order", text)


def _lost(history: Sequence[Transaction], final: Mapping[int, Sequence[int]] | None) -> Iterator[Anomaly]:
    if final is None:
        return
    for number, transaction in enumerate(history):
        for append in transaction.appends if transaction.outcome == "ok" else ():
            if append.value not in final.get(append.key, ()):
                yield Anomaly("lost append", f"T{number} appended {append.value} to key {append.key}")


# ── The order of transactions ────────────────────────────────────────────────────────────────────────────


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

    # the versions of each key, by the value that made them; those that were never read follow the last
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
                continue  # reported as incompatible: its position is unknown
            seen = sum(value in read.values for value in known)
            if seen:
                edge(writers[key, known[seen - 1]], number, "wr", f"{known[seen - 1]} in key {key}")
            for value in known[seen : seen + 1] or unread[key]:
                edge(number, writers[key, value], "rw", f"no {value} yet in key {key}")
    return graph


def _add_realtime(graph: Graph, history: Sequence[Transaction], committed: Sequence[int]) -> None:
    """Add an edge where one had ended before another began; what follows from two such edges is left out."""
    events = sorted(
        [(history[number].begin, 1, number) for number in committed]
        # one of unknown outcome may be applied at any time: it never ends
        + [(history[number].end, 0, number) for number in committed if history[number].outcome == "ok"]
    )
    ended: set[int] = set()
    before: dict[int, set[int]] = {}
    for _time, begins, number in events:
        if begins:
            before[number] = set(ended)
            for earlier in ended:
                graph[earlier].setdefault(number, {})["realtime"] = "ended before"
        else:
            ended -= before[number]
            ended.add(number)


# ── Cycles ───────────────────────────────────────────────────────────────────────────────────────────────


def _cycles(graph: Graph, cycle_kinds: Iterable[tuple[Kind, set[Kind]]]) -> Iterator[Anomaly]:
    """Yield one cycle of each kind for each strongly connected component."""
    for first, rest in cycle_kinds:
        for component in _components(graph, {first, *rest}):
            for a in sorted(component):
                starts = (b for b, kinds in graph[a].items() if first in kinds and b in component)
                back = next(filter(None, (_path(graph, b, a, rest, component) for b in starts)), None)
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
    """Return a shortest path, or None."""
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


def _components(graph: Graph, kinds: set[Kind]) -> list[set[int]]:
    """Return the strongly connected components of several transactions (Tarjan 1972, without recursion)."""
    ways = {a: [b for b, edges in out.items() if not kinds.isdisjoint(edges)] for a, out in graph.items()}
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    components: list[set[int]] = []
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
                    component = set(stack[at:])
                    del stack[at:]
                    on_stack -= component
                    if len(component) > 1:
                        components.append(component)
    return components
