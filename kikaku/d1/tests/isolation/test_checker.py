"""The checker finds each anomaly, and none in histories of sufficient isolation.

In histories `1+5` is "append 5 to key 1" and `1=3,5` is "read 3, 5 of key 1"; one text is one transaction.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .checker import Level, check
from .history import (
    Append,
    Operation,
    Outcome,
    Read,
    Transaction,
    merged,
    to_line,
)
from .simulation import Guards, Lists, Script, simulate


def transaction(text: str, begin: int = 0, end: int = 100) -> Transaction:
    """Return the transaction of a text; a first word `aborted` or `unknown` is its outcome."""
    words = text.split()
    outcome: Outcome = "ok"
    if words[0] == "aborted" or words[0] == "unknown":
        outcome = "aborted" if words.pop(0) == "aborted" else "unknown"
    operations: list[Operation] = []
    for word in words:
        if "+" in word:
            key, value = word.split("+")
            operations.append(Append(int(key), int(value)))
        else:
            key, values = word.split("=")
            operations.append(Read(int(key), tuple(int(value) for value in values.split(",") if value)))
    return Transaction(0, begin, end, outcome, tuple(operations))


def serially(*texts: str) -> list[Transaction]:
    return [transaction(text, 10 * number, 10 * number + 5) for number, text in enumerate(texts)]


def at_once(*texts: str) -> list[Transaction]:
    return [transaction(text) for text in texts]


def kinds(history: Sequence[Transaction], level: Level = "strict serializable", final: str = "") -> set[str]:
    state = {read.key: read.values for read in transaction(final).reads} if final else None
    return {anomaly.kind for anomaly in check(history, level, final=state)}


# ── Each anomaly ─────────────────────────────────────────────────────────────────────────────────────────

HEALTHY = {
    "nothing": [],
    "one after the other": ["1=", "1+1", "1=1 2+1", "2=1 1+2 1=1,2", "1=1,2 2=1"],
    "an abort": ["1+1", "aborted 1=1 1+2 1=1,2", "1=1"],
    "an unknown that was not applied": ["1+1", "unknown 1+2", "1=1"],
    "an unknown that was applied": ["1+1", "unknown 1+2", "1=1,2"],
    "appends that were never read": ["1=", "1+1", "1+2"],
    "its own append, twice": ["1= 1+1 1=1 1+2 1=1,2", "1=1,2"],
    "figure 3 of Adya, Liskov and O'Neil": ["3+1 1+1 2+1", "1=1 2+2", "2=1,2 3+3", "3=1,3"],
}


@pytest.mark.parametrize("texts", HEALTHY.values(), ids=HEALTHY)
def test_it_finds_nothing_in_a_healthy_history(texts: list[str]) -> None:
    assert kinds(serially(*texts)) == set()


ANOMALIES_OF_ONE_READ: dict[str, list[str]] = {
    "G1a": ["aborted 1+1", "1=1"],
    "G1b": ["1+1 1+2", "1=1"],
    "incompatible order": ["1+1", "1+2", "1=1,2", "1=2"],
    "duplicate": ["1+1", "1=1,1"],
    "unknown value": ["1+1", "1=1,7"],
    "future read": ["1=1 1+1"],
    "unseen append": ["1+1", "1+2 1=1"],
}


@pytest.mark.parametrize("kind", ANOMALIES_OF_ONE_READ)
def test_it_finds_anomalies_of_one_read(kind: str) -> None:
    history = at_once(*ANOMALIES_OF_ONE_READ[kind])
    assert kind in kinds(history, "read committed")
    assert kind in kinds(history, "serializable")


def test_it_finds_an_append_that_is_missing_in_the_final_state() -> None:
    history = serially("1+1", "1+2", "aborted 1+3", "unknown 1+4")
    assert kinds(history, "read committed", final="1=1,2") == set()
    assert kinds(history, "read committed", final="1=1,2,4") == set()
    assert kinds(history, "read committed", final="1=2") == {"lost append"}
    assert kinds(history, "read committed", final="1=1,2,3") == {"G1a"}


def test_it_finds_a_list_that_changes_within_a_transaction() -> None:
    for changing in ("1= 1=1", "1= 1+2 1=1,2", "1+2 1=2,1", "1=1 1="):
        history = at_once("1+1", changing)
        assert "internal" in kinds(history, "serializable"), changing
        assert "internal" not in kinds(history, "read committed"), changing


CYCLES: dict[str, tuple[str, list[str]]] = {
    "writes interleave": ("G0", ["1+1 2+1", "1+2 2+2", "1=1,2", "2=2,1"]),
    "each reads the other's write": ("G1c", ["1+1 2=1", "2+1 1=1"]),
    "one overwrites whom it feeds": ("G1c", ["1+1 2=1", "1+2 2+1", "1=1,2"]),
    "a read skew": ("G-single", ["1+1 2+1", "1= 2=1"]),
    "a lost update": ("G-single", ["1= 1+1", "1= 1+2", "1=1,2"]),
    "a write skew": ("G2", ["1= 2= 1+1", "1= 2= 2+1"]),
    "a write skew of three": ("G2", ["1= 2+1", "2= 3+1", "3= 1+1"]),
    "two who read see two orders": ("G2", ["1+1", "2+1", "1=1 2=", "1= 2=1"]),
}


@pytest.mark.parametrize("name", CYCLES)
def test_it_finds_each_kind_of_cycle_and_only_where_it_is_forbidden(name: str) -> None:
    kind, texts = CYCLES[name]
    history = at_once(*texts)
    assert kinds(history, "serializable") == {kind}
    assert kinds(history, "read committed") == ({kind} & {"G0", "G1c"})


def test_it_finds_a_transaction_that_missed_one_that_had_ended() -> None:
    stale = ["1+1", "1=", "1=1"]
    assert kinds(serially(*stale), "serializable") == set()
    assert kinds(serially(*stale)) == {"G-single-realtime"}
    assert kinds(at_once(*stale)) == set()
    assert kinds(serially("1+2", "1+1", "1=1,2")) == {"G0-realtime"}
    assert kinds(serially("1=1 2+1", "2=1", "1+1")) == {"G1c-realtime"}
    assert kinds([*serially("3+1", "1+1", "2+1"), transaction("3=1 1= 2=1", 10, 40)]) == {"G-single-realtime"}
    assert kinds(serially("1+1", "2+1", "3+1", "1=")) == {"G-single-realtime"}  # through those between


def test_an_unknown_transaction_has_no_end() -> None:
    assert kinds(serially("1+1", "unknown 1+2", "1=1", "1=1,2")) == set()


def test_an_anomaly_names_transactions_and_reasons() -> None:
    texts = [str(anomaly) for anomaly in check(at_once("1= 2+1", "2= 1+1"), "serializable")]
    assert texts == ["G2: T0 –rw (no 1 yet in key 1)→ T1 –rw (no 1 yet in key 2)→ T0"]


def test_it_refuses_a_history_whose_values_have_two_writers() -> None:
    with pytest.raises(ValueError, match="twice"):
        check(serially("1+1", "1+1"), "read committed")


# ── Histories of known isolation ─────────────────────────────────────────────────────────────────────────

SCRIPT: st.SearchStrategy[Script] = st.lists(
    st.tuples(st.booleans(), st.integers(1, 3)), min_size=1, max_size=4
)
SCRIPTS = st.lists(SCRIPT, min_size=1, max_size=8)
INTERLEAVED = st.tuples(SCRIPTS, st.lists(st.integers(0, 7), max_size=60))
Choice: TypeAlias = tuple[list[Script], list[int]]
Made: TypeAlias = tuple[list[Transaction], Lists, list[tuple[int, int, Read]]]


def anomalies_of(choice: Choice, guards: Guards, level: Level) -> list[str]:
    history, final = simulate(*choice, guards)
    return [str(anomaly) for anomaly in check(history, level, final=final)]


@given(SCRIPTS)
def test_it_accepts_serial_histories(scripts: list[Script]) -> None:
    assert anomalies_of((scripts, []), "none", "strict serializable") == []


@given(INTERLEAVED)
def test_it_accepts_histories_with_every_read_guarded(choice: Choice) -> None:
    assert anomalies_of(choice, "all", "strict serializable") == []


@given(INTERLEAVED)
def test_it_accepts_histories_with_reads_after_own_writes_guarded_as_read_committed(choice: Choice) -> None:
    assert anomalies_of(choice, "after own writes", "read committed") == []


READ_1, APPEND_1, READ_2, APPEND_2 = (False, 1), (True, 1), (False, 2), (True, 2)


@pytest.mark.parametrize(
    ("script", "other", "turns", "guards", "level", "kind"),
    [
        ([READ_1, APPEND_2], [READ_2, APPEND_1], [0, 1, 0, 1], "after own writes", "serializable", "G2"),
        (
            [READ_1, APPEND_1],
            [READ_1, APPEND_1],
            [0, 1, 0, 1],
            "after own writes",
            "serializable",
            "G-single",
        ),
        # a read after an own write becomes stale before the commit
        ([APPEND_1, READ_1], [APPEND_1], [0, 0, 1, 1], "none", "read committed", "incompatible order"),
    ],
)
def test_it_distinguishes_weaker_guards_from_stronger(
    script: Script, other: Script, turns: list[int], guards: Guards, level: Level, kind: str
) -> None:
    choice = ([script, other], turns)
    assert [text.split(":")[0] for text in anomalies_of(choice, guards, level)] == [kind]
    stronger: Guards = "all" if guards == "after own writes" else "after own writes"
    assert anomalies_of(choice, stronger, level) == []


# ── One error in a serial history ────────────────────────────────────────────────────────────────────────


@st.composite
def serial(draw: st.DrawFn) -> Made:
    """Return a serial history, its final state, and its reads: (transaction, operation, read)."""
    scripts = draw(st.lists(SCRIPT, min_size=2, max_size=8))
    history, final = simulate([*scripts, [(True, 1)], [(False, 1)]], [], "none")
    reads = [
        (number, place, operation)
        for number, transaction in enumerate(history)
        for place, operation in enumerate(transaction.operations)
        if isinstance(operation, Read) and operation.values
    ]
    return history, final, reads


def with_read(
    history: list[Transaction], where: tuple[int, int, Read], values: tuple[int, ...]
) -> list[Transaction]:
    number, place, read = where
    operations = list(history[number].operations)
    operations[place] = Read(read.key, values)
    return [*history[:number], replace(history[number], operations=tuple(operations)), *history[number + 1 :]]


@given(serial(), st.data())
def test_it_finds_a_stale_read(made: Made, data: st.DataObject) -> None:
    history, final, reads = made
    where = data.draw(st.sampled_from(reads))
    short = where[2].values[: data.draw(st.integers(0, len(where[2].values) - 1))]
    assert check(with_read(history, where, short), "strict serializable", final=final)


@given(serial(), st.data())
def test_it_finds_a_changed_read(made: Made, data: st.DataObject) -> None:
    history, final, reads = made
    where = data.draw(st.sampled_from(reads))
    values = where[2].values
    changed = data.draw(st.permutations(values)) if len(values) > 1 else [values[0] + 1000]
    if tuple(changed) != values:
        assert check(with_read(history, where, tuple(changed)), "read committed", final=final)


@given(serial(), st.data())
def test_it_finds_a_dropped_append(made: Made, data: st.DataObject) -> None:
    history, final, _reads = made
    key = data.draw(st.sampled_from([key for key, values in final.items() if values]))
    gone = data.draw(st.sampled_from(final[key]))
    forgotten = [
        replace(
            transaction,
            operations=tuple(
                replace(done, values=tuple(value for value in done.values if value != gone))
                if isinstance(done, Read) and done.key == key
                else done
                for done in transaction.operations
            ),
        )
        for transaction in history
    ]
    state = {**final, key: tuple(value for value in final[key] if value != gone)}
    assert "lost append" in {anomaly.kind for anomaly in check(forgotten, "read committed", final=state)}


@given(serial(), st.data())
def test_it_finds_an_aborted_transaction_that_was_applied(made: Made, data: st.DataObject) -> None:
    history, final, _reads = made
    writer = data.draw(st.sampled_from([one for one in history if one.appends]))
    history[history.index(writer)] = replace(writer, outcome="aborted")
    assert "G1a" in {anomaly.kind for anomaly in check(history, "read committed", final=final)}


# ── Histories on disk ────────────────────────────────────────────────────────────────────────────────────


def test_files_of_several_processes_are_merged_by_time(tmp_path: Path) -> None:
    history = serially("1+1 1=1", "unknown 2+5", "aborted 3=", "2=5 1=1")
    files = [tmp_path / name for name in ("even", "odd")]
    for parity, file in enumerate(files):
        file.write_text("".join(to_line(one) + "\n" for one in history[parity::2]))
    assert merged(files) == history
