"""Append-only tables: the database itself refuses changes, on every engine."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest
from django.apps import apps
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.models import UniqueConstraint

from ledger.books import bulk, journal
from ledger.books.posting import Draft, Line
from ledger.books.triggers import APPEND_ONLY_TABLES
from ledger.models import (
    BalanceTransaction,
    ClosingBalance,
    DailyClose,
    EvidenceFile,
    JournalEntry,
    JournalLine,
    KeptMoney,
    KeptMoneyLine,
    OrderEvent,
    StockItem,
    StockMovement,
    StripeAccount,
)
from ledger.testing import build

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
DAY = date(2026, 11, 20)
TABLES = [
    ("ledger_journalentry", "description"),
    ("ledger_journalline", "position"),
    ("ledger_stockmovement", "note"),
    ("ledger_balancetransaction", "description"),
    ("ledger_dailyclose", "manifest_sha256"),
    ("ledger_closingbalance", "debit"),
    ("ledger_evidencefile", "sha256"),
    ("ledger_orderevent", "actor"),
    ("ledger_stripeaccount", "account"),
    ("ledger_keptmoney", "amount"),
    ("ledger_keptmoneyline", "prepaid"),
]


def sql(statement: str) -> None:
    """Run a statement as in a database console."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def entry(day: date) -> JournalEntry:
    """Write an entry without the checks of the journal."""
    return JournalEntry.objects.create(
        day=day, occurred_at=NOW, source_type="entry", source_id=str(day), purpose="test", created_at=NOW
    )


@pytest.fixture
def books(db: None) -> None:
    """Write one row to each append-only table, and remove the mark of a test database."""
    written = entry(DAY)
    JournalLine.objects.create(entry=written, position=1, account_id="1150", debit=1)
    item = StockItem.objects.create(sku="LAMP", on_hand=1)
    StockMovement.objects.create(item=item, kind="receipt", quantity=1, source="test", occurred_at=NOW)
    BalanceTransaction.objects.create(
        id="txn_1", type="charge", amount=1, fee=0, net=1, created=NOW, available_on=NOW, day=DAY
    )
    close = DailyClose.objects.create(
        day=date(2026, 11, 19),
        run=1,
        stripe_balance=0,
        book_balance=0,
        differences=0,
        manifest_sha256="0" * 64,
        closed_at=NOW,
    )
    ClosingBalance.objects.create(close=close, account_id="1150", debit=1, credit=0)
    EvidenceFile.objects.create(close=close, path="daily-close/report.json", sha256="0" * 64, size=1)
    order = build.order()
    OrderEvent.objects.create(order=order, kind=OrderEvent.Kind.SHIPPED, fact="shipment:1", at=NOW)
    kept = KeptMoney.objects.create(order=order, nonce="1", amount=1, reason="test", at=NOW, actor="test")
    KeptMoneyLine.objects.create(kept=kept, prepaid=1)
    StripeAccount.objects.get_or_create(defaults={"account": "acct_1", "live": False, "first_used_at": NOW})
    sql("DELETE FROM ledger_test_database")


@pytest.mark.parametrize(("table", "column"), TABLES)
def test_no_row_can_be_updated(books: None, table: str, column: str) -> None:
    with pytest.raises(IntegrityError, match="append-only"):
        sql(f"UPDATE {table} SET {column} = {column}")


@pytest.mark.parametrize(("table", "column"), TABLES)
def test_no_row_can_be_deleted(books: None, table: str, column: str) -> None:
    with pytest.raises(IntegrityError, match="append-only"):
        sql(f"DELETE FROM {table}")


OTHER_STATEMENTS = {
    "postgresql": [
        *[f"TRUNCATE {table} CASCADE" for table, _column in TABLES],
        "INSERT INTO ledger_evidencefile SELECT * FROM ledger_evidencefile "
        "ON CONFLICT (id) DO UPDATE SET sha256 = 'forged'",
    ],
    "sqlite": [
        "INSERT OR REPLACE INTO ledger_evidencefile (id, close_id, path, sha256, size) "
        "SELECT id, close_id, path, 'forged', size FROM ledger_evidencefile",
        "INSERT OR REPLACE INTO ledger_dailyclose SELECT day, 2, stripe_balance, book_balance, differences, "
        "manifest_sha256, previous_sha256, closed_at FROM ledger_dailyclose",
    ],
}


def test_other_statements_of_an_engine_are_refused(books: None) -> None:
    connection.check_constraints()  # PostgreSQL truncates nothing while checks of foreign keys are deferred
    for statement in OTHER_STATEMENTS[connection.vendor]:
        with pytest.raises(IntegrityError, match="append-only"):
            sql(statement)


UNIQUE_KEYS = [
    (table, key)
    for table, keys in APPEND_ONLY_TABLES.items()
    for key in keys
    if key != ("reverses_id",)  # empty in the row
]


def columns_of(table: str) -> list[str]:
    """Return the columns of a table that the database does not number by itself."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table} LIMIT 0")
        return [column[0] for column in cursor.description if column[0] != "id"]


@pytest.mark.parametrize(("table", "key"), UNIQUE_KEYS)
def test_no_row_is_replaced_by_one_of_the_same_key(books: None, table: str, key: tuple[str, ...]) -> None:
    names = columns_of(table)
    if key == ("id",):
        names.append("id")
    # the history ignores a second event of the same fact
    values = ["'other'" if name == "fact" else name for name in names]
    copied = f"INTO {table} ({', '.join(names)}) SELECT {', '.join(values)} FROM {table}"
    changed = next(name for name in reversed(names) if name not in key)
    statement = f"INSERT OR REPLACE {copied}"
    if connection.vendor == "postgresql":
        statement = (
            f"INSERT {copied} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changed} = {table}.{changed}"
        )
    with pytest.raises(IntegrityError, match="append-only"):
        sql(statement)


def test_a_reversal_is_not_replaced_by_another_of_the_same_entry(books: None) -> None:
    first = JournalEntry.objects.get()

    def reversal(number: int) -> str:
        return (
            f"INTO ledger_journalentry (day, occurred_at, source_type, source_id, purpose, description, "
            f"reverses_id, created_at) SELECT day, occurred_at, source_type, '{number}', 'reversal', '', "
            f"{first.pk}, created_at FROM ledger_journalentry WHERE id = {first.pk}"
        )

    sql(f"INSERT {reversal(1)}")
    statement = f"INSERT OR REPLACE {reversal(2)}"
    if connection.vendor == "postgresql":
        statement = f"INSERT {reversal(2)} ON CONFLICT (reverses_id) DO UPDATE SET description = 'forged'"
    with pytest.raises(IntegrityError, match="append-only"):
        sql(statement)


def test_the_triggers_know_every_unique_key_of_the_models() -> None:
    for model in apps.get_app_config("ledger").get_models():
        table = model._meta.db_table
        if table not in APPEND_ONLY_TABLES:
            continue
        keys: set[tuple[str | None, ...]] = {
            (field.column,) for field in model._meta.concrete_fields if field.unique
        }
        columns = {field.name: field.column for field in model._meta.concrete_fields}
        keys |= {
            tuple(columns[name] for name in constraint.fields)
            for constraint in model._meta.constraints
            if isinstance(constraint, UniqueConstraint)
        }
        known = set(APPEND_ONLY_TABLES[table])
        if table == "ledger_orderevent":
            known.add(("order_id", "kind", "fact"))  # a trigger of its own, tested below
        assert known == keys, table


@pytest.mark.skipif(connection.vendor != "postgresql", reason="other engines check each line by its key")
def test_the_day_of_lines_is_checked_once_for_each_statement_of_an_import(db: None) -> None:
    """A session that began with an empty journal keeps no plan that reads the whole journal for each line."""

    def scans() -> int:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'ledger_journalentry'"
            )
            return int(cursor.fetchone()[0])

    before = scans()
    post_entries(1_000, at_once=50)
    assert JournalLine.objects.count() == 2_000
    assert scans() - before <= 2 * 20  # of 20 statements


def post_entries(count: int, *, at_once: int) -> None:
    """Post so many small entries of one day."""
    drafts = [
        Draft(
            source_type="entry",
            source_id=str(number),
            purpose="test",
            description="",
            occurred_at=NOW,
            order_id=None,
            counterparty="Stripe",
            amount=100,
            lines=(Line("1150", debit=1), Line("2130", credit=1)),
        )
        for number in range(count)
    ]
    with transaction.atomic():
        for start in range(0, count, at_once):
            journal.post_all(drafts[start : start + at_once], now=NOW)


def test_a_portion_of_a_days_entries_is_found_by_day_and_key(db: None) -> None:
    post_entries(500, at_once=250)
    bulk.refresh_statistics(JournalEntry)
    first = JournalEntry.objects.earliest("pk").pk
    plan = JournalEntry.objects.filter(day=DAY, pk__gte=first, pk__lt=first + 5).order_by().explain()
    if connection.vendor == "postgresql":
        assert re.search(r"Index Cond: .*\(id >=", plan), plan
    else:
        assert "entry_day_id (day=? AND id>? AND id<?)" in plan


def test_an_event_is_not_replaced_by_one_of_the_same_fact(books: None) -> None:
    columns = "order_id, kind, fact, actor, at, data, reconstructed"
    forged = (
        "SELECT order_id, kind, fact, 'forger', at, data, reconstructed "
        "FROM ledger_orderevent WHERE fact = 'shipment:1'"
    )
    if connection.vendor == "sqlite":
        sql(f"INSERT OR REPLACE INTO ledger_orderevent ({columns}) {forged}")
    else:
        with pytest.raises(IntegrityError, match="append-only"):
            sql(
                f"INSERT INTO ledger_orderevent ({columns}) {forged} "
                "ON CONFLICT (order_id, kind, fact) DO UPDATE SET actor = 'forger'"
            )
    assert not OrderEvent.objects.filter(actor="forger").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda: JournalEntry.objects.get().save(),
        lambda: JournalEntry.objects.update(description="other"),
        lambda: BalanceTransaction.objects.update(amount=2),
        lambda: EvidenceFile.objects.all().delete(),
    ],
)
def test_django_cannot_change_rows(books: None, change: Callable[[], object]) -> None:
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        change()


@pytest.mark.parametrize("day", [date(2026, 11, 19), date(2026, 11, 18)])
def test_an_entry_dated_into_a_closed_day_is_refused(books: None, day: date) -> None:
    with pytest.raises(IntegrityError, match="closed"), transaction.atomic():
        entry(day)


def test_a_line_added_to_an_entry_of_a_closed_day_is_refused(books: None) -> None:
    DailyClose.objects.create(
        day=DAY,
        run=1,
        stripe_balance=0,
        book_balance=0,
        differences=0,
        manifest_sha256="0" * 64,
        closed_at=NOW,
    )
    with pytest.raises(IntegrityError, match="closed"), transaction.atomic():
        JournalLine.objects.create(entry=JournalEntry.objects.get(), position=2, account_id="1150", credit=1)


def test_an_entry_of_the_first_open_day_is_written(books: None) -> None:
    assert entry(date(2026, 11, 21)).pk


def test_a_test_database_can_be_emptied_but_not_edited(db: None) -> None:
    entry(DAY)
    with pytest.raises(IntegrityError, match="append-only"):
        sql("UPDATE ledger_journalentry SET description = 'other'")
    sql("DELETE FROM ledger_journalentry")
    assert not JournalEntry.objects.exists()


def test_the_migration_can_be_reversed_and_applied_again(transactional_db: None) -> None:
    leaves = MigrationExecutor(connection).loader.graph.leaf_nodes()
    try:
        entry(DAY)
        MigrationExecutor(connection).migrate([("ledger", "0002_chart_of_accounts")])
        assert "ledger_test_database" not in connection.introspection.table_names()
        sql("UPDATE ledger_journalentry SET description = 'other'")
    finally:
        MigrationExecutor(connection).migrate(leaves)
    with pytest.raises(IntegrityError, match="append-only"):
        sql("UPDATE ledger_journalentry SET description = 'another'")
    with pytest.raises(IntegrityError, match="append-only"):
        sql("DELETE FROM ledger_journalentry")
    sql("INSERT INTO ledger_test_database VALUES (1)")  # so that the next test finds it as it was
