"""Two transactions, step by step, in the order in which they conflict: the second changes nothing."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress

import pytest
from django.db import IntegrityError, connection, connections, transaction

from ... import TransactionConflict, retry_on_conflict
from .blocks import Level, block, engine_name, run
from .tables import Account, Child, Item, Parent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("tables")]

TAKE = "UPDATE isolation_account SET n = n - 1 WHERE id = 1"
LEFT = "SELECT n FROM isolation_account WHERE id = 1"


class Session:
    """Another connection to the same database, with a block that is opened and closed explicitly."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        connections[alias] = connection.copy(alias)
        self.open: AbstractContextManager[None] | None = None

    def begin(self, level: Level = "read committed") -> None:
        self.open = block(level, self.alias)
        self.open.__enter__()

    def run(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        return run(statement, parameters, using=self.alias)

    def commit(self) -> None:
        assert self.open is not None
        context, self.open = self.open, None
        context.__exit__(None, None, None)

    def close(self) -> None:
        if self.open:  # a statement was refused
            transaction.set_rollback(True, using=self.alias)
            self.commit()
        connections[self.alias].close()
        del connections[self.alias]


@pytest.fixture
def sessions(tables: None) -> Iterator[tuple[Session, Session]]:
    """Return two sessions; account 1 has 10, account 2 has 1."""
    if engine_name() == "sqlite":
        pytest.skip("SQLite's writers queue: the second would wait for the first for ever")
    Account.objects.bulk_create([Account(pk=1, n=10), Account(pk=2, n=1)])
    both = Session("first"), Session("second")
    yield both
    for session in both:
        session.close()


@pytest.fixture
def optimistic_sessions(sessions: tuple[Session, Session]) -> tuple[Session, Session]:
    """Return two sessions that do not wait for each other."""
    if engine_name() != "d1":
        pytest.skip("only D1's transactions are optimistic: elsewhere the second would wait for the first")
    return sessions


def balances() -> dict[int, int]:
    return dict(Account.objects.values_list("pk", "n"))


# ── One row ──────────────────────────────────────────────────────────────────────────────────────────────


def test_of_two_blocks_that_lock_and_write_a_row_the_second_changes_nothing(
    optimistic_sessions: tuple[Session, Session],
) -> None:
    for session in optimistic_sessions:
        session.begin()
        account = Account.objects.using(session.alias).select_for_update().get(pk=1)
        Item.objects.using(session.alias).create(key=1, value=account.n)
        account.n -= 1
        account.save(using=session.alias)
        session.run("UPDATE isolation_account SET n = n + 1 WHERE id = 2")
    first, second = optimistic_sessions
    first.commit()
    with pytest.raises(TransactionConflict):
        second.commit()
    assert balances() == {1: 9, 2: 2}
    assert Item.objects.count() == 1


def test_a_row_that_was_locked_and_not_written_conflicts_too(
    optimistic_sessions: tuple[Session, Session],
) -> None:
    first, second = optimistic_sessions
    first.begin()
    Account.objects.using("first").select_for_update().get(pk=1)
    first.run("UPDATE isolation_account SET n = 5 WHERE id = 2")
    second.run(TAKE)
    with pytest.raises(TransactionConflict):
        first.commit()
    assert balances() == {1: 9, 2: 1}


def test_a_lock_excludes_writes_of_other_rows_under_the_same_lock(
    optimistic_sessions: tuple[Session, Session],
) -> None:
    """As when an order is locked to add a line."""
    for session in optimistic_sessions:
        session.begin()
        Account.objects.using(session.alias).select_for_update().get(pk=1)
        assert not Item.objects.using(session.alias).exists()
        Item.objects.using(session.alias).create(key=1, value=1)
    first, second = optimistic_sessions
    first.commit()
    with pytest.raises(TransactionConflict):
        second.commit()
    assert Item.objects.count() == 1


def test_two_decrements_in_sql_both_count(optimistic_sessions: tuple[Session, Session]) -> None:
    for session in optimistic_sessions:
        session.begin()
        session.run(TAKE)
    for session in optimistic_sessions:
        session.commit()
    assert balances()[1] == 8


def test_a_number_read_after_the_own_write_does_not_get_stale(
    optimistic_sessions: tuple[Session, Session],
) -> None:
    first, second = optimistic_sessions
    first.begin()
    first.run(TAKE)
    assert first.run(LEFT) == [(9,)]
    second.run(TAKE)
    with pytest.raises(TransactionConflict):
        first.commit()
    assert balances()[1] == 9


def test_the_last_piece_is_sold_once(optimistic_sessions: tuple[Session, Session]) -> None:
    for session in optimistic_sessions:
        session.begin()
        assert Account.objects.using(session.alias).filter(pk=2, n__gte=1).update(n=0) == 1
    first, second = optimistic_sessions
    first.commit()
    with pytest.raises(TransactionConflict):
        second.commit()


def test_a_stale_block_gets_a_conflict_at_its_next_statement_or_at_its_commit(
    optimistic_sessions: tuple[Session, Session],
) -> None:
    """It never gets an error that another writer caused."""
    first, second = optimistic_sessions
    first.begin()
    first.run(TAKE)
    first.run(LEFT)
    second.run("DELETE FROM isolation_account WHERE id = 1")
    with pytest.raises(TransactionConflict):
        first.run("UPDATE isolation_account SET n = n + 1 WHERE id = 2")
        first.commit()
    assert balances() == {2: 1}


# ── Inserted rows ────────────────────────────────────────────────────────────────────────────────────────


def test_of_two_blocks_that_insert_the_same_name_the_second_has_a_conflict_and_then_an_error(
    optimistic_sessions: tuple[Session, Session],
) -> None:
    for session in optimistic_sessions:
        session.begin()
        session.run("INSERT INTO isolation_parent (token) VALUES ('the same')")
    first, second = optimistic_sessions
    first.commit()
    with pytest.raises(TransactionConflict):
        second.commit()
    second.begin()
    with pytest.raises(IntegrityError), transaction.atomic("second"):
        second.run("INSERT INTO isolation_parent (token) VALUES ('the same')")
    second.commit()
    assert Parent.objects.count() == 1


def test_a_block_that_read_a_name_as_free_gets_a_conflict_and_no_integrity_error(
    optimistic_sessions: tuple[Session, Session],
) -> None:
    """The error would contradict what the block has read."""
    first, second = optimistic_sessions
    first.begin("serializable")
    assert first.run("SELECT COUNT(*) FROM isolation_parent WHERE token = 'the same'") == [(0,)]
    second.run("INSERT INTO isolation_parent (token) VALUES ('the same')")
    with pytest.raises(TransactionConflict):
        first.run("INSERT INTO isolation_parent (token) VALUES ('the same')")
        first.commit()


@pytest.mark.parametrize("ask", [False, True], ids=["lastrowid", "last_insert_rowid()"])
def test_a_row_never_references_the_parent_of_another_block(
    optimistic_sessions: tuple[Session, Session], ask: bool
) -> None:
    for session in optimistic_sessions:
        session.begin()
        if ask:
            session.run("INSERT INTO isolation_parent (token) VALUES (%s)", session.alias)
            [(parent,)] = session.run("SELECT last_insert_rowid()")
        else:
            with connections[session.alias].cursor() as cursor:
                cursor.execute("INSERT INTO isolation_parent (token) VALUES (%s)", [session.alias])
                parent = cursor.lastrowid
        session.run("INSERT INTO isolation_child (parent_id, token) VALUES (%s, %s)", parent, session.alias)
    first, second = optimistic_sessions
    first.commit()
    with pytest.raises(TransactionConflict):
        second.commit()
    assert list(Child.objects.values_list("token", "parent__token")) == [("first", "first")]


def test_models_get_ids_that_do_not_collide(optimistic_sessions: tuple[Session, Session]) -> None:
    for session in optimistic_sessions:
        session.begin()
        parent = Parent.objects.using(session.alias).create(token=session.alias)
        Child.objects.using(session.alias).create(parent=parent, token=session.alias)
    for session in optimistic_sessions:
        session.commit()
    found = set(Child.objects.values_list("token", "parent__token"))
    assert found == {("first", "first"), ("second", "second")}


# ── Serializable ─────────────────────────────────────────────────────────────────────────────────────────


def both_leave(sessions: tuple[Session, Session], level: Level) -> None:
    """Let each read that the other is on call, and leave."""
    Account.objects.update(n=1)
    for doctor, session in enumerate(sessions, 1):
        session.begin(level)
        [(here,)] = session.run("SELECT SUM(n) FROM isolation_account")
        assert here == 2
        session.run("UPDATE isolation_account SET n = 0 WHERE id = %s", doctor)
    for session in sessions:
        session.commit()


def test_read_committed_allows_a_write_skew(sessions: tuple[Session, Session]) -> None:
    both_leave(sessions, "read committed")
    assert balances() == {1: 0, 2: 0}


def test_serializable_prevents_a_write_skew(sessions: tuple[Session, Session]) -> None:
    with pytest.raises(TransactionConflict):
        both_leave(sessions, "serializable")
    assert balances() == {1: 0, 2: 1}


def test_serializable_reads_guard_against_inserted_rows(optimistic_sessions: tuple[Session, Session]) -> None:
    first, second = optimistic_sessions
    first.begin("serializable")
    assert first.run("SELECT COUNT(*) FROM isolation_item WHERE key = 1") == [(0,)]
    first.run(TAKE)
    second.run("INSERT INTO isolation_item (key, value) VALUES (1, 1)")
    with pytest.raises(TransactionConflict):
        first.commit()
    assert balances()[1] == 10


def test_a_serializable_block_that_only_reads_sees_no_later_state(
    optimistic_sessions: tuple[Session, Session],
) -> None:
    first, second = optimistic_sessions
    first.begin("serializable")
    assert first.run(LEFT) == [(10,)]
    second.run("UPDATE isolation_account SET n = n + 1")
    with pytest.raises(TransactionConflict):
        first.run("SELECT n FROM isolation_account WHERE id = 2")
        first.commit()


def test_serializable_guards_an_update_of_no_rows(optimistic_sessions: tuple[Session, Session]) -> None:
    first, second = optimistic_sessions
    first.begin("serializable")
    assert not Account.objects.using("first").filter(pk=2, n__gt=5).update(n=0)
    first.run(TAKE)
    second.run("UPDATE isolation_account SET n = 6 WHERE id = 2")
    with pytest.raises(TransactionConflict):
        first.commit()


def test_what_is_not_read_does_not_conflict(optimistic_sessions: tuple[Session, Session]) -> None:
    first, second = optimistic_sessions
    first.begin("serializable")
    first.run(LEFT)
    first.run(TAKE)
    second.run("UPDATE isolation_account SET n = n + 1 WHERE id = 2")
    first.commit()
    assert balances() == {1: 9, 2: 2}


# ── Savepoints ───────────────────────────────────────────────────────────────────────────────────────────


class _RolledBack(Exception):
    """Raised to roll back a savepoint."""


def test_a_conflict_within_a_savepoint_ends_the_whole_block(
    optimistic_sessions: tuple[Session, Session],
) -> None:
    first, second = optimistic_sessions
    first.begin()
    first.run("UPDATE isolation_account SET n = 5 WHERE id = 2")
    with transaction.atomic("first"):
        Account.objects.using("first").select_for_update().get(pk=1)
        first.run(TAKE)
    second.run(TAKE)
    with pytest.raises(TransactionConflict):
        first.commit()
    assert balances() == {1: 9, 2: 1}


@pytest.mark.parametrize(("level", "before"), [("read committed", TAKE), ("serializable", "")])
def test_a_read_in_a_savepoint_is_guarded_although_the_savepoint_was_rolled_back(
    optimistic_sessions: tuple[Session, Session], level: Level, before: str
) -> None:
    """The block has seen what it read before the write."""
    first, second = optimistic_sessions
    first.begin(level)
    if before:
        first.run(before)
    with suppress(_RolledBack), transaction.atomic("first"):
        first.run(LEFT)
        first.run(TAKE)
        raise _RolledBack
    first.run("UPDATE isolation_account SET n = 5 WHERE id = 2")
    second.run(TAKE)
    with pytest.raises(TransactionConflict):
        first.commit()
    assert balances() == {1: 9, 2: 1}


# ── Retries ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_retry_after_a_conflict_succeeds(optimistic_sessions: tuple[Session, Session]) -> None:
    _first, second = optimistic_sessions
    values_seen: list[int] = []

    @retry_on_conflict
    def take() -> int:
        with block():
            account = Account.objects.select_for_update().get(pk=1)
            if not values_seen:
                second.run(TAKE)
            values_seen.append(account.n)
            account.n -= 1
            account.save()
            return account.n

    assert take() == 8
    assert values_seen == [10, 9]
    assert balances()[1] == 8
