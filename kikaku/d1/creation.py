"""Test databases on D1. A database is a binding of the gateway, declared beforehand: nothing can be created.

"Creating" the test database therefore means to empty the binding `test_<NAME>` (or TEST["NAME"]). Because it
deletes, it is strict about the name: another adapter ran tests in the configured database and deleted what
its users had in production (G4brym/django-cf, issue 54).
"""

import sys
from contextlib import closing
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError
from django.db.backends.base.creation import TEST_DATABASE_PREFIX, BaseDatabaseCreation

ENGINE_MODULE = f"{__package__}.engine"  # `python -m` runs an engine on this machine
DECLARE = (
    "Databases of D1 are declared beforehand. On this machine name it when the engine starts "
    "(`python -m {engine} {configured} {name}`); behind a Worker of your own bind a database to this "
    "name; or let DATABASES[{alias!r}]['TEST']['NAME'] name another one that begins with test_."
)


class DatabaseCreation(BaseDatabaseCreation):
    """Empties the test database, and refuses every name that does not begin with `test_`.

    Methods with a leading underscore override Django's; its type stubs lack some of them.
    """

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self._created: set[str] = set()  # by `create_test_db`; more than one when tests test the test runner

    @staticmethod
    def is_in_memory_db(_database_name: str) -> bool:
        """Return whether closing the connection loses the data: never."""
        return False

    def _get_test_db_name(self) -> str:
        """Return the name of the test database. A refused name is refused before any request is sent.

        Raises:
            ImproperlyConfigured: tests may not run with these settings.
        """
        name = str(super()._get_test_db_name())  # type: ignore[misc]
        if name not in self._created:
            self._refuse_unless_safe(name)
        return name

    def _refuse_unless_safe(self, name: str) -> None:
        settings = self.connection.settings_dict
        if settings["OPTIONS"].get("transport") == "rest":
            raise ImproperlyConfigured(
                f"The tests do not run on {settings['NAME']!r}, which is reached through Cloudflare's REST "
                "interface: it is for administration (1,200 requests in five minutes), and the database is "
                f"most likely in production. Run them on a local engine: `python -m {ENGINE_MODULE}`."
            )
        if not name.startswith(TEST_DATABASE_PREFIX):
            raise ImproperlyConfigured(
                f"The tests do not run on {name!r}: they empty their database, so its name must begin with "
                f"{TEST_DATABASE_PREFIX!r}. Change or remove "
                f"DATABASES[{self.connection.alias!r}]['TEST']['NAME']."
            )
        if name == settings["NAME"]:
            raise ImproperlyConfigured(
                f"The tests do not run on {name!r}: they empty their database, and this one is the "
                f"configured one (DATABASES[{self.connection.alias!r}]['NAME']). The two must differ."
            )

    def _create_test_db(self, verbosity: int, autoclobber: bool, keepdb: bool = False) -> str:
        """Empty the test database, unless it is to be kept, and return its name.

        Raises:
            ImproperlyConfigured: the gateway does not know it, or its name is refused.
        """
        name = self._get_test_db_name()
        with closing(self._connection_to(name)) as connection:
            try:
                tables = self._tables(connection)
            except (ImproperlyConfigured, OperationalError) as error:
                known = {
                    "engine": ENGINE_MODULE,
                    "configured": self.connection.settings_dict["NAME"],
                    "alias": self.connection.alias,
                }
                raise ImproperlyConfigured(
                    f"The test database {name!r} cannot be used: {error} {DECLARE.format(name=name, **known)}"
                ) from None
            self._created.add(name)
            if keepdb:
                return name
            if tables and not autoclobber:
                confirm = input(
                    f"Type 'yes' if you would like to empty the test database {name!r}, which holds "
                    f"{len(tables)} tables, or 'no' to cancel: "
                )
                if confirm != "yes":
                    self.log("Tests cancelled.")
                    sys.exit(1)
            if tables and verbosity >= 1:
                shown = self._get_database_display_str(verbosity, name)  # type: ignore[attr-defined]
                self.log(f"Emptying old test database for alias {shown}...")
            connection.reset_database()
        return name

    def _destroy_test_db(self, test_database_name: str, verbosity: int) -> None:
        """Empty the test database.

        Raises:
            ImproperlyConfigured: this object did not create it.
        """
        if test_database_name not in self._created:
            raise ImproperlyConfigured(
                f"{test_database_name!r} is not emptied: it is not the database that the tests ran on."
            )
        with closing(self._connection_to(test_database_name)) as connection:
            connection.reset_database()

    def _clone_test_db(self, suffix: str, verbosity: int, keepdb: bool = False) -> None:
        """Raise `NotImplementedError`: a clone needs a binding of its own, and D1 cannot copy a database."""
        raise NotImplementedError(
            "On D1 the tests do not run in parallel processes of one run (--parallel): each copy of the test "
            "database would have to be declared beforehand. Start several runs, each on an engine of its own."
        )

    def _connection_to(self, name: str) -> Any:
        """Return another connection; the settings keep their NAME until the test database is ready."""
        return type(self.connection)({**self.connection.settings_dict, "NAME": name}, self.connection.alias)

    @staticmethod
    def _tables(connection: Any) -> list[str]:
        with connection.cursor() as cursor:
            return [table.name for table in connection.introspection.get_table_list(cursor)]
