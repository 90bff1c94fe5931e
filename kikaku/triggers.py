"""Compare the triggers of a database with those that migrations created in it."""

from collections.abc import Mapping

from django.db.backends.base.base import BaseDatabaseWrapper

TRIGGERS_SQL = """
SELECT tgname, CASE WHEN tgenabled IN ('O', 'A') THEN pg_get_triggerdef(oid, true) ELSE 'disabled' END
FROM pg_trigger WHERE NOT tgisinternal AND pg_table_is_visible(tgrelid)
"""
FUNCTIONS_SQL = "SELECT proname, prosrc FROM pg_proc WHERE proname = ANY(%s) AND pg_function_is_visible(oid)"


def broken_triggers(
    database: BaseDatabaseWrapper, triggers: Mapping[str, str], functions: Mapping[str, str]
) -> dict[str, str]:
    """Return what is not as it was created: name → "missing", "disabled" or "altered".

    `triggers` are names and statements. PostgreSQL keeps no statement: there they must be worded as
    `pg_get_triggerdef` words them. `functions` are names and bodies of PostgreSQL's trigger functions.
    """
    wanted = dict(triggers)
    with database.cursor() as cursor:
        if database.vendor == "postgresql":
            wanted |= functions
            cursor.execute(TRIGGERS_SQL)
            installed = dict(cursor.fetchall())
            cursor.execute(FUNCTIONS_SQL, [list(functions)])
            installed |= dict(cursor.fetchall())
        else:
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            installed = dict(cursor.fetchall())
    found = {name: installed.get(name, "missing") for name in wanted}
    return {
        name: sql if sql in ("missing", "disabled") else "altered"
        for name, sql in found.items()
        if sql != wanted[name]
    }
