"""Cloudflare D1 for Django: SQLite's backend over another connection, with transactions."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.sqlite3 import base as sqlite
from django.db.backends.utils import CursorDebugWrapper, debug_transaction

from .address import ISOLATION_LEVELS, SECRET_RULE, is_sendable, scheme_for
from .client import DatabaseClient
from .creation import DatabaseCreation
from .dbapi import Connection
from .features import DatabaseFeatures
from .guards import foreign_key_violations
from .introspection import DatabaseIntrospection
from .operations import DatabaseOperations
from .schema import DatabaseSchemaEditor
from .transport import Address, Gateway, Rest, Transport
from .values import Statement, identifier

CONNECTION_OPTIONS = ("pool_size", "connect_timeout", "read_timeout")
OPTIONS = ("isolation", "transport", *CONNECTION_OPTIONS)


class DatabaseWrapper(sqlite.DatabaseWrapper):
    """A connection to one D1 database. `vendor` stays "sqlite": expressions keep their `as_sqlite`."""

    display_name = "Cloudflare D1"
    Database = sqlite3  # for its exceptions alone
    SchemaEditorClass = DatabaseSchemaEditor
    client_class = DatabaseClient
    creation_class = DatabaseCreation
    features_class = DatabaseFeatures
    introspection_class = DatabaseIntrospection
    ops_class = DatabaseOperations
    connection: Any  # a `dbapi.Connection`, once there is one

    is_compiling_schema = False  # the compiled SQL becomes part of the schema
    _isolation: str | None = None  # set before there is a connection

    def get_connection_params(self) -> dict[str, Any]:
        """Return the checked settings of this database.

        Raises:
            ImproperlyConfigured: something is missing or wrong.
        """
        settings = self.settings_dict
        for name in ("HOST", "NAME", "PASSWORD"):
            if not settings[name]:
                raise ImproperlyConfigured(
                    f"DATABASES[{self.alias!r}][{name!r}] is missing: D1 needs the gateway's HOST, the NAME "
                    "of the database's binding, and the gateway's secret as PASSWORD."
                )
        if "/" in settings["HOST"] or "@" in settings["HOST"]:
            raise ImproperlyConfigured(
                f"DATABASES[{self.alias!r}]['HOST'] must be a host name alone. It is reached by https unless "
                "it is this machine or ends with .internal."
            )
        if not is_sendable(settings["PASSWORD"]):
            raise ImproperlyConfigured(f"DATABASES[{self.alias!r}]['PASSWORD'] {SECRET_RULE}")
        options = settings["OPTIONS"]
        if unknown := set(options) - set(OPTIONS):
            raise ImproperlyConfigured(
                f"DATABASES[{self.alias!r}]['OPTIONS'] holds {', '.join(sorted(unknown))}; "
                f"known are {', '.join(OPTIONS)}."
            )
        return {
            "host": settings["HOST"],
            "port": int(settings["PORT"]) if settings["PORT"] else None,
            "database": settings["NAME"],
            "account": settings["USER"],
            "secret": settings["PASSWORD"],
            **options,
        }

    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection:
        """Return a connection. No request is sent yet: each statement is a request of its own."""
        limits = {name: conn_params[name] for name in CONNECTION_OPTIONS if name in conn_params}
        host = conn_params["host"]
        address = Address(scheme_for(host), host, conn_params["port"], **limits)
        transport: Transport
        if conn_params.get("transport") == "rest":
            transport = Rest(address, conn_params["account"], conn_params["database"], conn_params["secret"])
        else:
            transport = Gateway(address, conn_params["database"], conn_params["secret"])
        return Connection(transport, self._isolation or conn_params.get("isolation", ISOLATION_LEVELS[0]))

    def init_connection_state(self) -> None:
        """Do nothing: SQLite's backend would look at the version of Python's own library."""

    def create_cursor(self, name: str | None = None) -> Any:
        """Return a cursor; one with a name reads in pages, because there are no cursors on the server."""
        return self.connection.cursor(in_pages=name is not None)

    def chunked_cursor(self) -> Any:
        """Return the cursor of `QuerySet.iterator()`."""
        return self._cursor(name="pages")

    def make_debug_cursor(self, cursor: Any) -> "DebugCursor":
        """Return a cursor that records what each statement cost."""
        return DebugCursor(cursor, self)

    @property
    def isolation(self) -> str:
        """The isolation level: "read committed" or "serializable" (`serializable()` sets it)."""
        if self.connection is not None:
            return str(self.connection.isolation)
        return self._isolation or str(self.settings_dict["OPTIONS"].get("isolation", ISOLATION_LEVELS[0]))

    @isolation.setter
    def isolation(self, value: str) -> None:
        self._isolation = value
        if self.connection is not None:
            self.connection.isolation = value

    # ── Connection ───────────────────────────────────────────────────────────────────────────────────────

    def close(self) -> None:
        """Close the connection, as every backend but SQLite's does."""
        BaseDatabaseWrapper.close(self)

    def is_usable(self) -> bool:
        """Return whether it was not closed: there is no session at D1 that could break."""
        return self.connection is not None and not self.connection.closed

    def is_in_memory_db(self) -> bool:
        """Return whether closing loses the data: never."""
        return False

    def get_database_version(self) -> tuple[int, ...]:
        """Return the newest SQLite version that Django's code compares with: D1 does not report its own."""
        return (3, 47, 0)

    # ── Transactions ─────────────────────────────────────────────────────────────────────────────────────

    def _set_autocommit(self, autocommit: bool) -> None:
        self.connection.autocommit = autocommit

    def _start_transaction_under_autocommit(self) -> None:
        with debug_transaction(self, "BEGIN"):
            self._set_autocommit(False)

    def _savepoint_allowed(self) -> bool:
        return self.features.uses_savepoints and not self.get_autocommit()

    # ── Foreign keys ─────────────────────────────────────────────────────────────────────────────────────

    def disable_constraint_checking(self) -> bool:
        """Check foreign keys at COMMIT, not immediately. In autocommit a statement is its own COMMIT."""
        self.ensure_connection()
        already = self.connection.defer_foreign_keys
        self.connection.defer_foreign_keys = True
        return not already

    def enable_constraint_checking(self) -> None:
        """Check foreign keys immediately again; what a block wrote before is still checked at its COMMIT."""
        self.connection.defer_foreign_keys = False

    def check_constraints(self, table_names: Any = None) -> None:
        """Raise `IntegrityError` for the first row whose foreign key refers to no row."""
        with self.cursor() as cursor:
            if table_names is None:
                table_names = self.introspection.table_names(cursor)
            cursor.execute(f"{foreign_key_violations(table_names)} LIMIT 1")
            violation = cursor.fetchone()
            if violation:
                self._raise_violation(cursor, *violation)

    def _raise_violation(self, cursor: Any, table: str, rowid: int, referenced: str, key: int) -> None:
        """Raise `IntegrityError` with the row and its foreign key, as SQLite's backend does."""
        quote = self.ops.quote_name
        cursor.execute('SELECT "from", "to" FROM pragma_foreign_key_list(%s) WHERE id = %s', [table, key])
        column, referenced_column = cursor.fetchone()
        primary = self.introspection.get_primary_key_column(cursor, table) or "rowid"
        cursor.execute(
            f"SELECT {quote(primary)}, {quote(column)} FROM {quote(table)} WHERE rowid = %s",
            [rowid],
        )
        key_value, bad_value = cursor.fetchone()
        raise IntegrityError(
            f"The row in table '{table}' with primary key '{key_value}' has an invalid foreign key: "
            f"{table}.{column} contains a value '{bad_value}' that does not have a corresponding value in "
            f"{referenced}.{referenced_column}."
        )

    # ── For tests ────────────────────────────────────────────────────────────────────────────────────────

    def reset_database(self) -> None:
        """Drop everything in the database. Only for one whose name begins with `test_`.

        Raises:
            ImproperlyConfigured: it has another name.
        """
        name = str(self.settings_dict["NAME"])
        if not name.startswith("test_"):
            raise ImproperlyConfigured(f"{name!r} is not emptied: only databases named test_… are.")
        self.ensure_connection()
        connection = self.connection
        # names with a leading _cf_ are Cloudflare's; LIKE knows `_` as a wildcard
        there = connection.raw(
            Statement(
                "SELECT type, name FROM sqlite_master WHERE type IN ('table', 'view') "
                "AND substr(name, 1, 4) <> '_cf_' AND substr(name, 1, 7) <> 'sqlite_'"
            )
        ).rows
        drops = [
            Statement(f"DROP {kind.upper()} IF EXISTS {identifier(found)}")
            for kind, found in sorted(there, key=lambda row: row[0] == "table")
        ]
        if drops:
            with self.wrap_database_errors:
                connection.run_batch(drops)
        connection.rollback()


class DebugCursor(CursorDebugWrapper):
    """A cursor that adds round trips and the rows that D1 bills to each statement in `connection.queries`."""

    @contextmanager
    def debug_sql(self, *args: Any, **kwargs: Any) -> Iterator[None]:
        """Measure a statement in this context."""
        transport = self.db.connection.transport
        before = transport.round_trips
        try:
            with super().debug_sql(*args, **kwargs):
                yield
        finally:
            self.db.queries_log[-1].update(
                round_trips=transport.round_trips - before,
                rows_read=self.cursor.rows_read,
                rows_written=self.cursor.rows_written,
            )
