"""The triggers that make the audit log append-only, on every engine.

They follow those of the books (`ledger.books.triggers`), with a function of their own on PostgreSQL, and let
a test database delete. SQLite drops the triggers of a table that a later migration rebuilds: after an upgrade
of django-auditlog that does so add a migration that calls `install`; `verify_books` reports it.
"""

# ruff: noqa: S608  (every statement is built from the constants below)

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import kikaku.triggers
from ledger.books.triggers import TEST_DATABASE_TABLE

TABLE = "auditlog_logentry"
FUNCTION = "ops_append_only"  # PostgreSQL's; its body is as the database keeps it
FUNCTION_BODY = f"""
BEGIN
    IF TG_OP <> 'UPDATE' AND EXISTS (SELECT 1 FROM {TEST_DATABASE_TABLE}) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION USING MESSAGE = TG_TABLE_NAME || ' is append-only',
        ERRCODE = 'integrity_constraint_violation';
END """


def triggers(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Return the name and SQL of each trigger for this engine."""
    if connection.vendor == "postgresql":  # worded as `pg_get_triggerdef` words them
        return {
            f"{TABLE}_{name}": f"CREATE TRIGGER {TABLE}_{name} BEFORE {event} ON {TABLE} "
            f"FOR EACH {level} EXECUTE FUNCTION {FUNCTION}()"
            for name, event, level in (
                ("no_update", "UPDATE", "ROW"),
                ("no_delete", "DELETE", "ROW"),
                ("no_truncate", "TRUNCATE", "STATEMENT"),
            )
        }
    refusal = f"SELECT RAISE(ABORT, '{TABLE} is append-only')"
    return {
        f"{TABLE}_{name}": f"CREATE TRIGGER {TABLE}_{name} BEFORE {event} ON {TABLE} "
        f"{when}BEGIN {refusal}; END"
        for name, event, when in (
            ("no_update", "UPDATE", ""),
            ("no_delete", "DELETE", f"WHEN NOT EXISTS (SELECT 1 FROM {TEST_DATABASE_TABLE}) "),
            # INSERT OR REPLACE deletes the row with the same key without firing the delete trigger
            ("no_replace", "INSERT", f"WHEN EXISTS (SELECT 1 FROM {TABLE} WHERE id = NEW.id) "),
        )
    }


def install(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create the triggers; existing ones are replaced."""
    remove(schema_editor)
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            f"CREATE FUNCTION {FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $${FUNCTION_BODY}$$"
        )
    for sql in triggers(schema_editor.connection).values():
        schema_editor.execute(sql)


def remove(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Drop the triggers that exist."""
    on_table = f" ON {TABLE}" if schema_editor.connection.vendor == "postgresql" else ""
    for name in triggers(schema_editor.connection):
        schema_editor.execute(f"DROP TRIGGER IF EXISTS {name}{on_table}")
    if on_table:
        schema_editor.execute(f"DROP FUNCTION IF EXISTS {FUNCTION}()")


def broken_triggers(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Return the triggers that do not match this module: name → "missing", "disabled" or "altered"."""
    return kikaku.triggers.broken_triggers(connection, triggers(connection), {FUNCTION: FUNCTION_BODY})
