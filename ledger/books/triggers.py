"""The database triggers of the books: rows are append-only, and a closed day gains no entry.

A rate of the tax never changes, and neither begins nor goes where entries are posted on or after its day.

Updating is always refused. Deleting (and truncating) is refused unless the table `ledger_test_database` holds
a row: the test setup inserts one, so that a test database can be flushed; `verify_books` reports it anywhere
else. SQLite drops the triggers of a table that a later migration rebuilds: end such a migration with
`install`.
"""

# ruff: noqa: S608  (every statement is built from the constants below)

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import kikaku.triggers

TEST_DATABASE_TABLE = "ledger_test_database"

APPEND_ONLY_TABLES: dict[str, tuple[tuple[str, ...], ...]] = {  # table → its unique keys, the primary first
    "ledger_journalentry": (("id",), ("source_type", "source_id", "purpose"), ("reverses_id",)),
    "ledger_journalline": (("id",), ("entry_id", "position")),
    "ledger_stockmovement": (("id",), ("item_id", "kind", "source")),
    "ledger_balancetransaction": (("id",),),
    "ledger_dailyclose": (("day",),),
    "ledger_closingbalance": (("id",), ("close_id", "account_id")),
    "ledger_evidencefile": (("id",), ("path",)),
    "ledger_orderevent": (("id",),),  # and (order, kind, fact): see `ledger_orderevent_once`
    "ledger_stripeaccount": (("row",),),
    "ledger_taxstatus": (("id",),),
    "ledger_keptmoney": (("id",), ("nonce",)),
    "ledger_keptmoneyline": (("id",), ("kept_id", "tax_class")),
}

RATE_IN_USE = "EXISTS (SELECT 1 FROM ledger_journalentry WHERE day >= {row}.from_day)"
RATE_IN_USE_TEXT = "entries depend on this rate"

# The advisory lock between postings (shared) and a close (exclusive). PostgreSQL only: SQLite has one writer,
# and D1 runs the triggers again at the commit.
CLOSE_LOCK_KEY = 7_150_001


def sqlite_triggers() -> list[tuple[str, str, str]]:
    """Return (name, table, SQL) of each trigger for SQLite and D1."""
    triggers = []
    for table, keys in APPEND_ONLY_TABLES.items():
        triggers += [
            (
                f"{table}_no_update",
                table,
                f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END",
            ),
            (
                f"{table}_no_delete",
                table,
                f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} "
                "WHEN NOT EXISTS (SELECT 1 FROM ledger_test_database) "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END",
            ),
            # INSERT OR REPLACE deletes the row with the same key without firing the delete trigger
            (
                f"{table}_no_replace",
                table,
                f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
                f"WHEN {' OR '.join(_sqlite_exists(table, key) for key in keys)} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only: this key exists'); END",
            ),
        ]
    # the history ignores an act that it has
    triggers.append(
        (
            "ledger_orderevent_once",
            "ledger_orderevent",
            "CREATE TRIGGER ledger_orderevent_once BEFORE INSERT ON ledger_orderevent "
            f"WHEN {_sqlite_exists('ledger_orderevent', ('order_id', 'kind', 'fact'))} "
            "BEGIN SELECT RAISE(IGNORE); END",
        )
    )
    triggers += _sqlite_rate_triggers()
    triggers.append(
        (
            "ledger_journalentry_open_day",
            "ledger_journalentry",
            "CREATE TRIGGER ledger_journalentry_open_day BEFORE INSERT ON ledger_journalentry "
            "WHEN EXISTS (SELECT 1 FROM ledger_dailyclose WHERE day >= NEW.day) "
            "BEGIN SELECT RAISE(ABORT, 'the day of this entry is closed'); END",
        )
    )
    triggers.append(
        (
            "ledger_journalline_open_day",
            "ledger_journalline",
            "CREATE TRIGGER ledger_journalline_open_day BEFORE INSERT ON ledger_journalline "
            "WHEN EXISTS (SELECT 1 FROM ledger_dailyclose JOIN ledger_journalentry "
            "ON ledger_dailyclose.day >= ledger_journalentry.day "
            "WHERE ledger_journalentry.id = NEW.entry_id) "
            "BEGIN SELECT RAISE(ABORT, 'the day of this line is closed'); END",
        )
    )
    return triggers


def _sqlite_rate_triggers() -> list[tuple[str, str, str]]:
    table = "ledger_taxrate"
    exists = f"{_sqlite_exists(table, ('id',))} OR {_sqlite_exists(table, ('tax_class', 'from_day'))}"
    return [
        (f"{table}_{name}", table, f"CREATE TRIGGER {table}_{name} BEFORE {act} ON {table} {body}; END")
        for name, act, body in (
            ("no_update", "UPDATE", f"BEGIN SELECT RAISE(ABORT, '{table} is append-only')"),
            (
                "no_replace",
                "INSERT",
                f"WHEN {exists} BEGIN SELECT RAISE(ABORT, '{table} is append-only: this key exists')",
            ),
            (
                "unused",
                "INSERT",
                f"WHEN {RATE_IN_USE.format(row='NEW')} BEGIN SELECT RAISE(ABORT, '{RATE_IN_USE_TEXT}')",
            ),
            (
                "no_delete",
                "DELETE",
                f"WHEN {RATE_IN_USE.format(row='OLD')} AND NOT EXISTS (SELECT 1 FROM ledger_test_database) "
                f"BEGIN SELECT RAISE(ABORT, '{RATE_IN_USE_TEXT}')",
            ),
        )
    ]


def _sqlite_exists(table: str, key: tuple[str, ...]) -> str:
    same = " AND ".join(f"{column} = NEW.{column}" for column in key)
    return f"EXISTS (SELECT 1 FROM {table} WHERE {same})"


INTEGRITY_ERROR = "ERRCODE = 'integrity_constraint_violation'"

POSTGRESQL_FUNCTIONS = [
    """
    CREATE FUNCTION ledger_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP <> 'UPDATE' AND EXISTS (SELECT 1 FROM ledger_test_database) THEN
            RETURN OLD;
        END IF;
        RAISE EXCEPTION USING MESSAGE = TG_TABLE_NAME || ' is append-only',
            ERRCODE = 'integrity_constraint_violation';
    END $$
    """,
    # This one and `ledger_close_alone` conflict: a close waits for running postings, a posting sees it.
    f"""
    CREATE FUNCTION ledger_open_day() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock_shared({CLOSE_LOCK_KEY});
        IF EXISTS (SELECT 1 FROM ledger_dailyclose WHERE day >= NEW.day) THEN
            RAISE EXCEPTION 'the day of this entry is closed' USING {INTEGRITY_ERROR};
        END IF;
        RETURN NEW;
    END $$
    """,
    # Once for each statement, over the lines that it wrote. EXECUTE plans the query at each call: a plan that
    # is kept from when the journal was small reads the whole journal each time.
    f"""
    CREATE FUNCTION ledger_line_open_day() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        is_closed boolean;
    BEGIN
        EXECUTE 'SELECT EXISTS (SELECT 1 FROM new_lines'
            ' JOIN ledger_journalentry ON ledger_journalentry.id = new_lines.entry_id'
            ' WHERE ledger_journalentry.day <= (SELECT MAX(day) FROM ledger_dailyclose))' INTO is_closed;
        IF is_closed THEN
            RAISE EXCEPTION 'the day of this line is closed' USING {INTEGRITY_ERROR};
        END IF;
        RETURN NULL;
    END $$
    """,
    f"""
    CREATE FUNCTION ledger_close_alone() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock({CLOSE_LOCK_KEY});
        RETURN NEW;
    END $$
    """,
    f"""
    CREATE FUNCTION ledger_rate_unused() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' AND {RATE_IN_USE.format(row="NEW")} THEN
            RAISE EXCEPTION '{RATE_IN_USE_TEXT}' USING {INTEGRITY_ERROR};
        END IF;
        IF TG_OP = 'DELETE' AND {RATE_IN_USE.format(row="OLD")}
            AND NOT EXISTS (SELECT 1 FROM ledger_test_database) THEN
            RAISE EXCEPTION '{RATE_IN_USE_TEXT}' USING {INTEGRITY_ERROR};
        END IF;
        RETURN COALESCE(NEW, OLD);
    END $$
    """,
]
POSTGRESQL_FUNCTION_NAMES = [
    "ledger_append_only",
    "ledger_open_day",
    "ledger_line_open_day",
    "ledger_close_alone",
    "ledger_rate_unused",
]


def postgresql_triggers() -> list[tuple[str, str, str]]:
    """Return (name, table, SQL) of each trigger for PostgreSQL, worded as `pg_get_triggerdef` words it."""
    triggers = []
    for table in APPEND_ONLY_TABLES:
        for name, event, level in (
            ("no_update", "UPDATE", "ROW"),
            ("no_delete", "DELETE", "ROW"),
            ("no_truncate", "TRUNCATE", "STATEMENT"),
        ):
            triggers.append(
                (
                    f"{table}_{name}",
                    table,
                    f"CREATE TRIGGER {table}_{name} BEFORE {event} ON {table} "
                    f"FOR EACH {level} EXECUTE FUNCTION ledger_append_only()",
                )
            )
    rates = "ledger_taxrate"
    for name, event, level, function in (
        ("no_update", "UPDATE", "ROW", "ledger_append_only"),
        ("no_truncate", "TRUNCATE", "STATEMENT", "ledger_append_only"),
        ("unused", "INSERT", "ROW", "ledger_rate_unused"),
        ("no_delete", "DELETE", "ROW", "ledger_rate_unused"),
    ):
        triggers.append(
            (
                f"{rates}_{name}",
                rates,
                f"CREATE TRIGGER {rates}_{name} BEFORE {event} ON {rates} "
                f"FOR EACH {level} EXECUTE FUNCTION {function}()",
            )
        )
    for name, table, function in (
        ("ledger_journalentry_open_day", "ledger_journalentry", "ledger_open_day"),
        ("ledger_dailyclose_alone", "ledger_dailyclose", "ledger_close_alone"),
    ):
        triggers.append(
            (
                name,
                table,
                f"CREATE TRIGGER {name} BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {function}()",
            )
        )
    triggers.append(
        (
            "ledger_journalline_open_day",
            "ledger_journalline",
            "CREATE TRIGGER ledger_journalline_open_day AFTER INSERT ON ledger_journalline "
            "REFERENCING NEW TABLE AS new_lines FOR EACH STATEMENT EXECUTE FUNCTION ledger_line_open_day()",
        )
    )
    return triggers


def triggers(connection: BaseDatabaseWrapper) -> list[tuple[str, str, str]]:
    """Return (name, table, SQL) of every trigger for this engine."""
    return postgresql_triggers() if connection.vendor == "postgresql" else sqlite_triggers()


def install(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create the functions and triggers on the tables that exist by now; existing ones are replaced."""
    remove(schema_editor)
    tables = schema_editor.connection.introspection.table_names()
    if schema_editor.connection.vendor == "postgresql":
        for function in POSTGRESQL_FUNCTIONS:
            schema_editor.execute(function)
    for _name, table, sql in triggers(schema_editor.connection):
        if table in tables:
            schema_editor.execute(sql)


def remove(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Drop the triggers and functions that exist."""
    on_table = schema_editor.connection.vendor == "postgresql"
    for name, table, _sql in triggers(schema_editor.connection):
        schema_editor.execute(f"DROP TRIGGER IF EXISTS {name}" + (f" ON {table}" if on_table else ""))
    if on_table:
        for name in POSTGRESQL_FUNCTION_NAMES:
            schema_editor.execute(f"DROP FUNCTION IF EXISTS {name}()")


def broken_triggers(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Return the triggers that do not match this module: name → "missing", "disabled" or "altered"."""
    bodies = (function.split("$$")[1] for function in POSTGRESQL_FUNCTIONS)
    return kikaku.triggers.broken_triggers(
        connection,
        {name: sql for name, _table, sql in triggers(connection)},
        dict(zip(POSTGRESQL_FUNCTION_NAMES, bodies, strict=True)),
    )


def is_test_database(connection: BaseDatabaseWrapper) -> bool:
    """Return whether rows may be deleted, because the test setup has marked the database."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {TEST_DATABASE_TABLE}")
        return bool(cursor.fetchone()[0])
