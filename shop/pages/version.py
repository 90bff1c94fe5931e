"""The version of what the public pages show: one row, whose token changes with everything that a page shows.

Triggers change it, in the same transaction, whoever writes: the admin, an order, a bulk update, a database
console. A token is random, so no version comes twice, not even after a backup was restored. One version for all
pages: what changes it is rare beside the requests, and a page is only rendered again when it is asked for.

PostgreSQL: the triggers are deferred to the COMMIT, so that the row, which all writers share, is the last thing a
transaction locks and no two of them can wait for each other. SQLite has one writer at a time.

SQLite loses the triggers of a table that a later migration rebuilds: end such a migration with `install`.
"""

# ruff: noqa: S608  (every statement is built from the constants below)

import secrets
from contextvars import ContextVar
from dataclasses import dataclass

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

TABLE = "shop_page_version"
SHOWN = (
    "shop_category",
    "shop_product",
    "shop_specification",
    "shop_variant",
    "shop_picture",
    "shop_contentpage",
)
NAVIGATION = ("shop_category", "shop_contentpage")  # what the header and the footer of every page link to
# Pages count pieces up to this number (`shop.catalogue.LOW_STOCK`); above it all stocks look alike, so that most
# orders change no page. A test holds the two together: they may differ only until the next migration.
COUNTED = 5


@dataclass(frozen=True, slots=True)
class Version:
    """Of everything that pages show."""

    token: str
    navigation: str  # of the navigation alone, which prices and stock leave as it is


# While the store renders a page: the version under which it will be kept.
rendered_at: ContextVar[Version | None] = ContextVar("rendered_at", default=None)

FUNCTION = "shop_new_page_version"
FUNCTION_BODY = f"""
DECLARE
    of_this_transaction text := pg_current_xact_id()::text;
    fresh text := of_this_transaction || '.' || gen_random_uuid();
BEGIN
    -- once in a transaction is enough, however many rows it changes
    IF TG_TABLE_NAME IN {NAVIGATION} THEN
        UPDATE {TABLE} SET token = fresh, navigation = fresh
        WHERE split_part(navigation, '.', 1) <> of_this_transaction;
    ELSE
        UPDATE {TABLE} SET token = fresh WHERE split_part(token, '.', 1) <> of_this_transaction;
    END IF;
    RETURN NULL;
END
"""


def looks_other(least: str) -> str:
    """Return the SQL condition under which a stock item's update changes a page; `least` names the function."""
    old, new = (
        f"{least}({row}.on_hand - {row}.reserved, {COUNTED + 1})" for row in ("OLD", "NEW")
    )  # available pieces
    return f"{old} <> {new}"


def sqlite_triggers() -> dict[str, tuple[str, str]]:
    """Give table and SQL of each trigger by its name, for SQLite, and so for D1."""
    change = f"UPDATE {TABLE} SET token = hex(randomblob(12))"
    also = dict.fromkeys(NAVIGATION, ", navigation = hex(randomblob(12))")
    found = {
        f"{table}_shown_{action.lower()}": (
            table,
            f"CREATE TRIGGER {table}_shown_{action.lower()} AFTER {action} ON {table} "
            f"BEGIN {change}{also.get(table, '')}; END",
        )
        for table in SHOWN
        for action in ("INSERT", "UPDATE", "DELETE")
    }
    found["ledger_stockitem_shown"] = (
        "ledger_stockitem",
        "CREATE TRIGGER ledger_stockitem_shown AFTER UPDATE ON ledger_stockitem "
        f"WHEN {looks_other('MIN')} BEGIN {change}; END",
    )
    return found


def postgresql_triggers() -> dict[str, tuple[str, str]]:
    """Give table and SQL of each trigger by its name, for PostgreSQL."""
    deferred = "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
    found = {
        f"{table}_shown": (
            table,
            f"CREATE CONSTRAINT TRIGGER {table}_shown AFTER INSERT OR UPDATE OR DELETE ON {table} "
            f"{deferred} EXECUTE FUNCTION {FUNCTION}()",
        )
        for table in SHOWN
    }
    found["ledger_stockitem_shown"] = (
        "ledger_stockitem",
        f"CREATE CONSTRAINT TRIGGER ledger_stockitem_shown AFTER UPDATE ON ledger_stockitem {deferred} "
        f"WHEN ({looks_other('LEAST')}) EXECUTE FUNCTION {FUNCTION}()",
    )
    for table in SHOWN:
        found[f"{table}_shown_truncate"] = (
            table,
            f"CREATE TRIGGER {table}_shown_truncate AFTER TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {FUNCTION}()",
        )
    return found


def triggers(database: BaseDatabaseWrapper) -> dict[str, tuple[str, str]]:
    """Give table and SQL of each trigger by its name, on this engine."""
    return postgresql_triggers() if database.vendor == "postgresql" else sqlite_triggers()


def install(editor: BaseDatabaseSchemaEditor) -> None:
    """Create the row and all triggers anew, with a new version: who knows what changed while they were gone."""
    remove_triggers(editor)
    editor.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} (token text NOT NULL, navigation text NOT NULL)")
    editor.execute(f"DELETE FROM {TABLE}")
    editor.execute(f"INSERT INTO {TABLE} VALUES ('{secrets.token_hex(12)}', '{secrets.token_hex(12)}')")
    if editor.connection.vendor == "postgresql":
        editor.execute(
            f"CREATE FUNCTION {FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $${FUNCTION_BODY}$$"
        )
    for _table, sql in triggers(editor.connection).values():
        editor.execute(sql)


def remove_triggers(editor: BaseDatabaseSchemaEditor) -> None:
    """Drop the triggers and their function, as far as they are there."""
    postgresql = editor.connection.vendor == "postgresql"
    for name, (table, _sql) in triggers(editor.connection).items():
        editor.execute(f"DROP TRIGGER IF EXISTS {name}" + (f" ON {table}" if postgresql else ""))
    if postgresql:
        editor.execute(f"DROP FUNCTION IF EXISTS {FUNCTION}()")


def remove(editor: BaseDatabaseSchemaEditor) -> None:
    """Drop the triggers and the row."""
    remove_triggers(editor)
    editor.execute(f"DROP TABLE {TABLE}")


def broken_triggers(database: BaseDatabaseWrapper) -> list[str]:
    """Name the triggers that do not stand as they should: missing, disabled or altered."""
    wanted = triggers(database)
    with database.cursor() as cursor:
        if database.vendor == "postgresql":
            cursor.execute("SELECT tgname FROM pg_trigger WHERE tgenabled IN ('O', 'A')")
            there = {row[0] for row in cursor.fetchall()}
            wrong = [name for name in wanted if name not in there]
            cursor.execute("SELECT prosrc FROM pg_proc WHERE proname = %s", [FUNCTION])
            if cursor.fetchall() != [(FUNCTION_BODY,)]:
                wrong.append(FUNCTION)
            return wrong
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        written = dict(cursor.fetchall())
        return [name for name, (_table, sql) in wanted.items() if written.get(name) != sql]


def current_version() -> Version:
    """Read the version, with one query.

    Raises:
        django.db.Error: the database can not tell.
        TypeError: the row is missing.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT token, navigation FROM {TABLE}")
        return Version(*cursor.fetchone())
