"""Parallel processes whose results must add up: transfers, reservations, unique numbers, references."""

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest
from django.db import connection, transaction
from django.db.models import F

from ... import TransactionConflict, retry_on_conflict
from ...testing.processes import WaitForAll
from .blocks import block, engine_name, run
from .choices import SCALE, choices, run_concurrently
from .tables import Account, Child, Item, Parent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("tables")]

PROCESSES = 4
ROUNDS = 25 * SCALE  # of each process


def attempt(function: Callable[[], object]) -> bool:
    """Run a transaction with retries, and return whether it was applied."""
    try:
        retry_on_conflict(function)()
    except TransactionConflict:
        return False
    return True


# ── Transfers ────────────────────────────────────────────────────────────────────────────────────────────

ACCOUNTS, EACH = 4, 100


class InsufficientFunds(Exception):
    """The account has less than the amount."""


def transfer_by_condition(source: int, target: int, amount: int) -> None:
    """Let the database check the balance; if it is too low, the block is rolled back."""
    with block():
        # or else PostgreSQL deadlocks
        for account, change in sorted({source: -amount, target: amount}.items()):
            if not Account.objects.filter(pk=account, n__gte=-change).update(n=F("n") + change):
                raise InsufficientFunds


def transfer_by_lock(source: int, target: int, amount: int) -> None:
    """Lock, compute in Python, write, and read again."""
    with block():
        locked = {account.pk: account for account in Account.objects.select_for_update().order_by("pk")}
        if locked[source].n < amount:
            raise InsufficientFunds
        for account, change in ((source, -amount), (target, amount)):
            locked[account].n += change
            locked[account].save()
        seen = dict(Account.objects.values_list("pk", "n"))
    assert seen == {pk: account.n for pk, account in locked.items()}  # committed, so it must be true


def transfer_in_a_serializable_block(source: int, target: int, amount: int) -> None:
    """Lock nothing: in this block what was read must not change."""
    with block("serializable"):
        [(held,)] = run("SELECT n FROM isolation_account WHERE id = %s", [source])
        [(there,)] = run("SELECT n FROM isolation_account WHERE id = %s", [target])
        if held < amount:
            raise InsufficientFunds
        run("UPDATE isolation_account SET n = %s WHERE id = %s", [held - amount, source])
        run("UPDATE isolation_account SET n = %s WHERE id = %s", [there + amount, target])


WAYS: dict[str, list[Callable[[int, int, int], None]]] = {
    "by condition": [transfer_by_condition],
    "by lock": [transfer_by_lock],
    "each its own way": [transfer_by_condition, transfer_by_lock],
    "serializable": [transfer_in_a_serializable_block],
}


@pytest.mark.parametrize("ways", WAYS.values(), ids=WAYS)
def test_concurrent_transfers_keep_the_total(
    ways: list[Callable[[int, int, int], None]],
) -> None:
    Account.objects.bulk_create(Account(pk=pk, n=EACH) for pk in range(ACCOUNTS))

    def job(number: int, wait_for_all: WaitForAll) -> Counter[int]:
        random, balance = choices(number), Counter[int]()
        wait_for_all()
        for _round in range(ROUNDS):
            source, target = random.sample(range(ACCOUNTS), 2)
            amount, way = random.randint(1, EACH), random.choice(ways)
            try:
                if attempt(lambda: way(source, target, amount)):  # noqa: B023  (called immediately)
                    balance.update({source: -amount, target: amount})
            except InsufficientFunds:
                pass
            seen = run("SELECT n FROM isolation_account")
            assert sum(n for (n,) in seen) == ACCOUNTS * EACH and min(seen) >= (0,), seen
        return balance

    expected = Counter({account: EACH for account in range(ACCOUNTS)})
    for balance in run_concurrently(PROCESSES, job):
        expected.update(balance)
    assert dict(Account.objects.values_list("pk", "n")) == dict(expected)


def test_a_serializable_block_that_reads_accounts_one_by_one_sees_the_right_total() -> None:
    Account.objects.bulk_create(Account(pk=pk, n=EACH) for pk in range(ACCOUNTS))

    def total() -> int:
        with block("serializable"):
            return sum(
                n
                for account in range(ACCOUNTS)
                for (n,) in run("SELECT n FROM isolation_account WHERE id = %s", [account])
            )

    def job(number: int, wait_for_all: WaitForAll) -> set[int]:
        random, totals = choices(number), set[int]()
        wait_for_all()
        for _round in range(ROUNDS):
            if number:
                source, target = random.sample(range(ACCOUNTS), 2)
                attempt(lambda: transfer_in_a_serializable_block(source, target, 1))  # noqa: B023
            else:
                attempt(lambda: totals.add(total()))
        return totals

    [totals, *_others] = run_concurrently(PROCESSES, job)
    assert totals == {ACCOUNTS * EACH}


# ── Reservations ─────────────────────────────────────────────────────────────────────────────────────────


PIECES, CUSTOMERS = 32 * SCALE, 8


def reserve_by_condition() -> bool:
    with block():
        return Account.objects.filter(pk=1, n__gte=1).update(n=F("n") - 1) == 1


def reserve_by_lock() -> bool:
    with block():
        stock = Account.objects.select_for_update().get(pk=1)
        if stock.n < 1:
            return False
        stock.n -= 1
        stock.save()
        return True


def reserve_under_a_lock() -> bool:
    """Lock the stock, count the reservations, and reserve one more."""
    with block():
        stock = Account.objects.select_for_update().get(pk=1)
        if Item.objects.filter(key=1).count() >= PIECES:
            return False
        Item.objects.create(key=1, value=stock.pk)
        return True


def reserve_alone() -> bool:
    return Account.objects.filter(pk=1, n__gte=1).update(n=F("n") - 1) == 1


@pytest.mark.parametrize(
    "reserve", [reserve_by_condition, reserve_by_lock, reserve_under_a_lock, reserve_alone]
)
def test_exactly_the_stock_is_reserved(reserve: Callable[[], bool]) -> None:
    Account.objects.create(pk=1, n=PIECES)

    def job(_number: int, wait_for_all: WaitForAll) -> int:
        wait_for_all()
        got = 0
        while True:
            try:
                if not retry_on_conflict(reserve)():
                    return got  # sold out
                got += 1
            except TransactionConflict:
                continue

    assert sum(run_concurrently(CUSTOMERS, job)) == PIECES
    assert (Account.objects.get().n, Item.objects.count()) in ((0, 0), (PIECES, PIECES))


# ── Numbers ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_number_read_after_the_own_increment_is_unique() -> None:
    """No other block can change the row that a block has updated, as with PostgreSQL's row lock."""
    Account.objects.create(pk=1, n=0)

    def take() -> None:
        with block():
            run("UPDATE isolation_account SET n = n + 1 WHERE id = 1")
            [(number,)] = run("SELECT n FROM isolation_account WHERE id = 1")
            run("INSERT INTO isolation_item (key, value) VALUES (1, %s)", [number])

    def job(_number: int, wait_for_all: WaitForAll) -> int:
        wait_for_all()
        return sum(attempt(take) for _round in range(ROUNDS))

    taken = sum(run_concurrently(PROCESSES, job))
    assert taken > 0
    assert Account.objects.get().n == taken
    assert sorted(Item.objects.values_list("value", flat=True)) == list(range(1, taken + 1))


def test_increments_in_sql_are_not_lost() -> None:
    Account.objects.create(pk=1, n=0)

    def count() -> None:
        with block():
            run("UPDATE isolation_account SET n = n + 1 WHERE id = 1")

    def job(number: int, wait_for_all: WaitForAll) -> int:
        wait_for_all()
        if number:
            return sum(attempt(count) for _round in range(ROUNDS))
        for _round in range(ROUNDS):
            run("UPDATE isolation_account SET n = n + 1 WHERE id = 1")
        return ROUNDS

    counted = sum(run_concurrently(PROCESSES, job))
    assert Account.objects.get().n == counted >= ROUNDS


# ── Parents and children ─────────────────────────────────────────────────────────────────────────────────


def by_models(token: str) -> None:
    with block():
        parent = Parent.objects.create(token=token)
        Child.objects.create(parent=parent, token=token)
        with transaction.atomic():
            Child.objects.create(parent_id=parent.pk, token=token)


def by_lastrowid(token: str) -> None:
    """Let the database choose the ids, and use `lastrowid`."""
    with block():
        parent = inserted("INSERT INTO isolation_parent (token) VALUES (%s)", token)
        for _child in range(2):
            inserted("INSERT INTO isolation_child (parent_id, token) VALUES (%s, %s)", parent, token)


def inserted(statement: str, *values: str | int) -> int:
    with connection.cursor() as cursor:
        if engine_name() == "postgresql":
            cursor.execute(f"{statement} RETURNING id", values)
            return int(cursor.fetchone()[0])
        cursor.execute(statement, values)
        return int(cursor.lastrowid)


def by_query(token: str) -> None:
    """Let the database choose the ids, and select the last one."""
    with block():
        run("INSERT INTO isolation_parent (token) VALUES (%s)", [token])
        [(parent,)] = run(
            "SELECT lastval()" if engine_name() == "postgresql" else "SELECT last_insert_rowid()"
        )
        for _child in range(2):
            run("INSERT INTO isolation_child (parent_id, token) VALUES (%s, %s)", [parent, token])


INSERTING = {
    "by models": [by_models],
    "by lastrowid": [by_lastrowid],
    "by query": [by_query],
    "each its own way": [by_models, by_lastrowid, by_query],
}


@pytest.mark.parametrize("ways", INSERTING.values(), ids=INSERTING)
def test_every_child_references_its_own_parent(ways: list[Callable[[str], None]]) -> None:
    by_models("before the fork")  # ids reserved before the fork must not be used in every process

    def job(number: int, wait_for_all: WaitForAll) -> list[str]:
        random: Random = choices(number)
        wait_for_all()
        tokens = [f"{number}/{turn}" for turn in range(ROUNDS)]
        return [token for token in tokens if attempt(lambda: random.choice(ways)(token))]  # noqa: B023

    tokens = [token for tokens in run_concurrently(PROCESSES, job) for token in tokens]
    assert tokens
    assert sorted(Parent.objects.values_list("token", flat=True)) == sorted([*tokens, "before the fork"])
    assert Child.objects.count() == 2 * (len(tokens) + 1)
    assert not list(Child.objects.exclude(token=F("parent__token")).values("token", "parent__token"))


# ── Write skew ───────────────────────────────────────────────────────────────────────────────────────────


def test_serializable_blocks_prevent_a_write_skew() -> None:
    """In each shift all doctors are on call, and one may leave if another stays."""
    shifts = 10 * SCALE
    Account.objects.bulk_create(
        Account(pk=shift * PROCESSES + doctor, n=1) for shift in range(shifts) for doctor in range(PROCESSES)
    )

    def leave(shift: int, doctor: int) -> None:
        first = shift * PROCESSES
        with block("serializable"):
            [(here,)] = run(
                "SELECT SUM(n) FROM isolation_account WHERE id >= %s AND id < %s", [first, first + PROCESSES]
            )
            if here > 1:
                run("UPDATE isolation_account SET n = 0 WHERE id = %s", [first + doctor])

    def job(doctor: int, wait_for_all: WaitForAll) -> bool:
        wait_for_all()
        return all([attempt(lambda: leave(shift, doctor)) for shift in range(shifts)])  # noqa: B023

    all_could = all(run_concurrently(PROCESSES, job))
    here: Counter[int] = Counter()
    for pk, n in Account.objects.values_list("pk", "n"):
        here[pk // PROCESSES] += n
    assert min(here.values()) >= 1
    assert not all_could or max(here.values()) == 1
