"""What D1 can do. Django's own flags look at Python's sqlite3 library, which is not the one in D1: set by hand."""

from typing import Any

from django.db.backends.sqlite3.features import DatabaseFeatures as SQLiteFeatures
from django.utils.functional import cached_property


class DatabaseFeatures(SQLiteFeatures):
    """SQLite's features, with the differences and their reasons."""

    minimum_database_version = None  # D1 tells no version, and Cloudflare keeps it new

    # ── Transactions: the log (`transaction.py`) ─────────────────────────────────────────────────────────
    atomic_transactions = True
    supports_transactions = True  # Django would find out by creating a table
    uses_savepoints = True
    autocommits_when_autocommit_is_off = False
    test_db_allows_multiple_connections = True  # a server, unlike SQLite's memory
    # a read whose rows must stand still until COMMIT; nobody waits, so there is no NOWAIT and no SKIP LOCKED
    has_select_for_update = True
    # Foreign keys are checked at once: a deferred violation at the end of a batch resets D1's database object
    can_defer_constraint_checks = False
    supports_forward_references = False
    supports_isolation_levels = True

    # ── SQL ──────────────────────────────────────────────────────────────────────────────────────────────
    can_alter_table_drop_column = True
    supports_json_field = True
    can_introspect_json_field = True
    has_json_object_function = True
    can_return_columns_from_insert = True
    can_return_rows_from_bulk_insert = True
    max_query_params = (
        None  # values are written into the SQL; what must be bound is counted in `dbapi.checked`
    )
    supports_regex_backreferencing = False  # there is no REGEXP at all

    # ── Test databases ───────────────────────────────────────────────────────────────────────────────────
    can_clone_databases = False  # bindings are static, and nothing copies one database into another

    @cached_property
    def django_test_skips(self) -> dict[str, set[str]]:  # type: ignore[override]
        """Tests of Django's that rest on what D1 lacks, by the limit."""
        skips: dict[str, set[str]] = dict(super().django_test_skips)
        return skips

    django_test_expected_failures: set[str] = set()

    @cached_property
    def introspected_field_types(self) -> dict[str, Any]:  # type: ignore[override]
        """As SQLite's."""
        return dict(super().introspected_field_types)
