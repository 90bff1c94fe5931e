"""Random transactions of several processes, checked for the anomalies that their isolation level forbids."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from . import checker
from .blocks import LEVELS, Level, engine_name
from .choices import run_concurrently
from .history import Transaction, merged
from .list_append import LISTS, final, prepare, work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("tables")]

PROCESSES = 4
PROMISED: dict[Level, checker.Level] = {
    "read committed": "read committed",
    "serializable": "strict serializable",  # there is one database, and a read sees its last commit
}


def overlaps(history: Sequence[Transaction]) -> int:
    """Count the transactions during which another process began one."""
    return sum(
        later.begin < sooner.end and later.process != sooner.process for sooner, later in pairwise(history)
    )


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", LISTS)
def test_concurrent_transactions_have_no_anomaly_that_their_level_forbids(
    kind: str, level: Level, tmp_path: Path
) -> None:
    if kind == "rows" and engine_name() == "postgresql":
        pytest.skip("PostgreSQL gives ids in another order than that of the commits, so rows are no list")
    prepare()
    run_concurrently(PROCESSES, work(LISTS[kind], level, tmp_path / "history"))
    history = merged(tmp_path.glob("history*"))
    outcomes = Counter(transaction.outcome for transaction in history)
    print(f"{tmp_path}: {dict(outcomes)}, {overlaps(history)} overlap")
    state = final(LISTS[kind])
    found = checker.check(history, PROMISED[level], final=state)
    assert not found, "\n".join(map(str, found))

    # the rest checks that the test is meaningful: transactions overlapped, and the weaker level was weaker
    assert min(outcomes["ok"], overlaps(history)) > 0.2 * len(history)
    # SQLite's writers queue: it has no weaker level
    if level == "read committed" and engine_name() != "sqlite":
        kinds = {anomaly.kind for anomaly in checker.check(history, "serializable", final=state)}
        assert kinds & {"G-single", "G2"}
