"""What D1 can do. Django's own flags examine Python's sqlite3 library, so they are set by hand."""

from typing import Any

from django.db.backends.sqlite3.features import DatabaseFeatures as SQLiteFeatures
from django.utils.functional import cached_property

SKIPS: dict[str, set[str]] = {
    "D1 has neither regular expressions nor hashes, and functions cannot be added": {
        "model_fields.test_jsonfield.TestQuerying.test_key_iregex",
        "model_fields.test_jsonfield.TestQuerying.test_key_regex",
        *(
            f"lookup.tests.LookupTests.test_regex{rest}"
            for rest in ("", "_null", "_non_string", "_non_ascii")
        ),
        *(
            f"db_functions.text.test_{name.lower()}.{name}Tests.{test}"
            for name in ("MD5", "SHA1", "SHA224", "SHA256", "SHA384", "SHA512")
            for test in ("test_basic", "test_transform")
        ),
    },
    "Within a block a dry run keeps no rows: RETURNING is a separate SELECT": {
        "queries.test_db_returning.ReturningValuesTests.test_insert_returning",
        "queries.test_db_returning.ReturningValuesTests.test_insert_returning_multiple",
    },
    "No writer waits on D1: a lock is a guard, which is not in the SQL of the SELECT": {
        "select_for_update.tests.SelectForUpdateTests.test_for_update_after_from",
        "select_for_update.tests.SelectForUpdateTests.test_raw_lock_not_available",
        "get_or_create.tests.UpdateOrCreateTransactionTests.test_creation_in_transaction",
        "get_or_create.tests.UpdateOrCreateTransactionTests.test_updates_in_transaction",
    },
    "D1 reports no column types: a raw cursor returns text for dates": {
        "timezones.tests.LegacyDatabaseTests.test_cursor_execute_returns_naive_datetime",
        "timezones.tests.NewDatabaseTests.test_cursor_execute_returns_naive_datetime",
        "schema.tests.SchemaTests.test_add_datefield_and_datetimefield_use_effective_default",
    },
    "connection.queries also reports what a statement cost": {
        "backends.tests.BackendTestCase.test_queries",
    },
    "Functions become plain SQL, without the word that the test counts": {
        f"db_functions.datetime.test_extract_trunc.{case}.{test}"
        for case in ("DateFunctionTests", "DateFunctionWithTimeZoneTests")
        for test in (
            "test_extract_year_exact_lookup",
            "test_extract_year_greaterthan_lookup",
            "test_extract_year_lessthan_lookup",
        )
    },
    "Rows without ORDER BY come in another order": {
        "m2m_recursive.tests.RecursiveSymmetricalM2MThroughTests.test_recursive_m2m_all",
    },
    "dbshell is implemented here: there is no client program": {
        "dbshell.tests.DbshellCommandTestCase.test_command_missing",
        "dbshell.test_sqlite.SqliteDbshellCommandTestCase.test_non_zero_exit_status_when_path_to_db_is_path",
    },
    "The secret is sent in an HTTP header, which holds ASCII alone": {
        "backends.tests.BackendTestCase.test_unicode_password",
    },
    # ── backends.sqlite: what is of Python's sqlite3 module and of files ──
    "A test database is a binding whose name begins with test_, not a file": {
        "backends.sqlite.test_creation.TestDbSignatureTests.test_custom_test_name",
        "backends.sqlite.test_creation.TestDbSignatureTests.test_get_test_db_clone_settings_name",
    },
    "D1 reports no version, and its features are not tried": {
        "backends.sqlite.tests.Tests.test_check_database_version_supported",
        "backends.sqlite.test_features.FeaturesTests.test_supports_json_field_operational_error",
    },
    "D1 has no regular expressions, and functions cannot be added": {
        "backends.sqlite.tests.Tests.test_regexp_function",
    },
    "The size of a statement counts in bytes: values are written into the SQL": {
        "backends.sqlite.test_operations.SQLiteOperationsTests.test_bulk_batch_size",
    },
    "Foreign keys are deferred to COMMIT, never switched off": {
        "backends.sqlite.tests.SchemaTests.test_constraint_checks_disabled_atomic_allowed",
        "backends.sqlite.tests.SchemaTests.test_disable_constraint_checking_failure_disallowed",
    },
    "BEGIN has no mode: nothing is sent before COMMIT": {
        "backends.sqlite.tests.TestTransactionMode.test_invalid_transaction_mode",
        "backends.sqlite.tests.TestTransactionMode.test_valid_transaction_modes",
    },
}
# SQLite's backend skips these by the version of Python's own library, which D1 does not use
PASSING = {"model_fields.test_jsonfield.TestQuerying.test_lookups_special_chars_double_quotes"}


class DatabaseFeatures(SQLiteFeatures):
    """SQLite's features, with the differences of D1."""

    minimum_database_version = None  # D1 reports no version, and Cloudflare keeps it current

    # ── Transactions: the log (`log.py`) ─────────────────────────────────────────────────────────────────
    atomic_transactions = True
    supports_transactions = True  # Django would test it by creating a table
    uses_savepoints = True
    autocommits_when_autocommit_is_off = False
    test_db_allows_multiple_connections = True  # a server, unlike SQLite in memory
    # a read whose rows must not change until COMMIT; no writer waits, so there is no NOWAIT and no SKIP
    # LOCKED
    has_select_for_update = True
    # the other tables' rows are not locked, but a change of what was read of them is a conflict
    has_select_for_update_of = True
    # foreign keys are checked immediately: a deferred violation at the end of a batch resets D1's database
    # object
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
    # values are written into the SQL; `values.check_limits` counts those that must be bound
    max_query_params = None  # type: ignore[assignment]
    supports_regex_backreferencing = False  # there is no REGEXP

    # ── Test databases ───────────────────────────────────────────────────────────────────────────────────
    can_clone_databases = False  # bindings are static, and databases cannot be copied

    @cached_property
    def django_test_skips(self) -> dict[str, set[str]]:  # type: ignore[override]
        """Django's tests of what D1 does not have, by the reason."""
        inherited = {reason: tests - PASSING for reason, tests in super().django_test_skips.items()}
        return {**inherited, **SKIPS}

    # as on SQLite: a date and a datetime are texts of different length
    django_test_expected_failures = SQLiteFeatures.django_test_expected_failures

    @cached_property
    def introspected_field_types(self) -> dict[str, Any]:  # type: ignore[override]
        """Return the same as SQLite's backend."""
        return dict(super().introspected_field_types)
