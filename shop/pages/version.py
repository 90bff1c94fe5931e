"""The version of the public pages: one row whose token changes with everything that a page shows.

Database triggers change it in the transaction of the write, whatever wrote: the admin, an order, a bulk
update, a database console. Tokens are random, so no version repeats, not even after a backup is restored. All
pages share one version: changes are rare compared with requests, and a page is rendered again only when it is
requested. The token also has the time of the latest tax status, whose table has no trigger.

PostgreSQL: the triggers are deferred to the COMMIT. The row is shared by all writers; as the last row that a
transaction locks it cannot cause a deadlock. SQLite has one writer at a time.

SQLite drops the triggers of a table that a later migration rebuilds: end such a migration with `install`.
"""

# ruff: noqa: S608  (every statement is built from the constants below)

import secrets
from contextvars import ContextVar
from dataclasses import dataclass

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import kikaku.triggers
from ledger.models import TaxStatus

TABLE = "shop_page_version"
SHOWN_TABLES = (
    "shop_category",
    "shop_product",
    "shop_specification",
    "shop_variant",
    "shop_picture",
    "shop_contentpage",
    "ledger_carrier",
    "ledger_deliverytime",
    "ledger_remotearea",
)
# What many pages share and prices do not change: the links in header and footer, the days of delivery.
NAVIGATION_TABLES = (
    "shop_category",
    "shop_contentpage",
    "ledger_carrier",
    "ledger_deliverytime",
    "ledger_remotearea",
)
# Pages show the number of pieces up to this one (`shop.catalogue.LOW_STOCK`). Above it all stocks look the
# same, so most orders change no page. A test checks that the two are equal: a change needs a migration.
MAX_COUNTED_PIECES = 5


@dataclass(frozen=True, slots=True)
class Version:
    """The version of everything that pages show."""

    token: str
    navigation: str  # the token of `NAVIGATION_TABLES` alone, which prices and stock do not change


# The version of the page that the page store is having rendered; None outside the page store.
rendering_version: ContextVar[Version | None] = ContextVar("rendered_at", default=None)

TRIGGER_FUNCTION = "shop_new_page_version"
# PostgreSQL compares this text with the installed function: change it only together with a migration.
FUNCTION_BODY = f"""
DECLARE
    of_this_transaction text := pg_current_xact_id()::text;
    fresh text := of_this_transaction || '.' || gen_random_uuid();
BEGIN
    -- once in a transaction is enough, however many rows it changes
    IF TG_TABLE_NAME IN {NAVIGATION_TABLES} THEN
        UPDATE {TABLE} SET token = fresh, navigation = fresh
        WHERE split_part(navigation, '.', 1) <> of_this_transaction;
    ELSE
        UPDATE {TABLE} SET token = fresh WHERE split_part(token, '.', 1) <> of_this_transaction;
    END IF;
    RETURN NULL;
END
"""


def stock_looks_different(least: str, old: str, new: str) -> str:
    """Return the SQL condition under which a stock item's update changes a page; `least` is MIN or LEAST."""
    # available pieces
    before, after = (
        f"{least}({row}.on_hand - {row}.reserved, {MAX_COUNTED_PIECES + 1})" for row in (old, new)
    )
    return f"{before} <> {after}"


def sqlite_triggers() -> dict[str, tuple[str, str]]:
    """Return trigger name → (table, SQL) for SQLite and D1."""
    change = f"UPDATE {TABLE} SET token = hex(randomblob(12))"
    also = dict.fromkeys(NAVIGATION_TABLES, ", navigation = hex(randomblob(12))")
    found = {
        f"{table}_shown_{action.lower()}": (
            table,
            f"CREATE TRIGGER {table}_shown_{action.lower()} AFTER {action} ON {table} "
            f"BEGIN {change}{also.get(table, '')}; END",
        )
        for table in SHOWN_TABLES
        for action in ("INSERT", "UPDATE", "DELETE")
    }
    found["ledger_stockitem_shown"] = (
        "ledger_stockitem",
        "CREATE TRIGGER ledger_stockitem_shown AFTER UPDATE ON ledger_stockitem "
        f"WHEN {stock_looks_different('MIN', 'OLD', 'NEW')} BEGIN {change}; END",
    )
    return found


def postgresql_triggers() -> dict[str, tuple[str, str]]:
    """Return trigger name → (table, SQL) for PostgreSQL, worded as `pg_get_triggerdef` words it."""
    deferred = "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
    found = {
        f"{table}_shown": (
            table,
            f"CREATE CONSTRAINT TRIGGER {table}_shown AFTER INSERT OR DELETE OR UPDATE ON {table} "
            f"{deferred} EXECUTE FUNCTION {TRIGGER_FUNCTION}()",
        )
        for table in SHOWN_TABLES
    }
    found["ledger_stockitem_shown"] = (
        "ledger_stockitem",
        f"CREATE CONSTRAINT TRIGGER ledger_stockitem_shown AFTER UPDATE ON ledger_stockitem {deferred} "
        f"WHEN ({stock_looks_different('LEAST', 'old', 'new')}) EXECUTE FUNCTION {TRIGGER_FUNCTION}()",
    )
    for table in SHOWN_TABLES:
        found[f"{table}_shown_truncate"] = (
            table,
            f"CREATE TRIGGER {table}_shown_truncate AFTER TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {TRIGGER_FUNCTION}()",
        )
    return found


def triggers(database: BaseDatabaseWrapper) -> dict[str, tuple[str, str]]:
    """Return trigger name → (table, SQL) for the engine of a connection."""
    return postgresql_triggers() if database.vendor == "postgresql" else sqlite_triggers()


def install(editor: BaseDatabaseSchemaEditor) -> None:
    """Create the row and all triggers anew, with a new version: changes without triggers were not counted."""
    remove_triggers(editor)
    editor.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} (token text NOT NULL, navigation text NOT NULL)")
    editor.execute(f"DELETE FROM {TABLE}")
    editor.execute(f"INSERT INTO {TABLE} VALUES ('{secrets.token_hex(12)}', '{secrets.token_hex(12)}')")
    if editor.connection.vendor == "postgresql":
        editor.execute(
            f"CREATE FUNCTION {TRIGGER_FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $${FUNCTION_BODY}$$"
        )
    existing = set(editor.connection.introspection.table_names())
    for table, sql in triggers(editor.connection).values():
        if table in existing:  # else a later migration creates it, and ends with `install`
            editor.execute(sql)


def remove_triggers(editor: BaseDatabaseSchemaEditor) -> None:
    """Drop the triggers and their function, if they exist."""
    postgresql = editor.connection.vendor == "postgresql"
    existing = set(editor.connection.introspection.table_names())
    for name, (table, _sql) in triggers(editor.connection).items():
        if table not in existing:
            continue
        editor.execute(f"DROP TRIGGER IF EXISTS {name}" + (f" ON {table}" if postgresql else ""))
    if postgresql:
        editor.execute(f"DROP FUNCTION IF EXISTS {TRIGGER_FUNCTION}()")


def remove(editor: BaseDatabaseSchemaEditor) -> None:
    """Drop the triggers and the row."""
    remove_triggers(editor)
    editor.execute(f"DROP TABLE {TABLE}")


def broken_triggers(database: BaseDatabaseWrapper) -> dict[str, str]:
    """Return the triggers that do not match this module: name → "missing", "disabled" or "altered"."""
    return kikaku.triggers.broken_triggers(
        database,
        {name: sql for name, (_table, sql) in triggers(database).items()},
        {TRIGGER_FUNCTION: FUNCTION_BODY},
    )


def current_version() -> Version:
    """Return the current version, read with one query.

    Product pages name the reduced rate unless the merchant is exempt. A status is entered, never changed, and
    holds from a day on: the time in the token and the day in the page store's tag tell of it.

    Raises:
        django.db.Error: the database cannot be read.
        TypeError: the row is missing.
    """
    entered = f"(SELECT MAX(created_at) FROM {TaxStatus._meta.db_table})"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT token, navigation, {entered} FROM {TABLE}")
        token, navigation, status = cursor.fetchone()
    return Version(f"{token} {status}", navigation)
