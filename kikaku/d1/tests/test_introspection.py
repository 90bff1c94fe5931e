"""D1's introspection returns what SQLite's backend returns for the same tables."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from django.db import DatabaseError, connections
from django.db.backends.sqlite3.base import DatabaseWrapper as SQLite
from pytest_django.plugin import DjangoDbBlocker

from ..base import DatabaseWrapper
from ..testing.engine import connect, running_engine

TABLES = (
    'CREATE TABLE "author" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "name" varchar(40) NOT NULL)',
    """CREATE TABLE "book" (
        "id" integer NOT NULL PRIMARY KEY,
        "title" varchar(30) COLLATE nocase NOT NULL UNIQUE,
        "author_id" integer NULL REFERENCES "author" ("id"),
        "editor" integer REFERENCES "author",
        "facts" text NOT NULL CHECK ((JSON_VALID("facts") OR "facts" IS NULL)),
        "price" integer unsigned DEFAULT 100 CHECK ("price" >= 0),
        "twice" integer GENERATED ALWAYS AS ("price" * 2) STORED,
        "day" date DEFAULT 'it''s',
        CONSTRAINT "dear" CHECK ("price" > 10),
        CONSTRAINT "one" UNIQUE ("title", "day"),
        UNIQUE ("day", "price")
    )""",
    'CREATE TABLE "two parts" ("a" integer, "b" text, PRIMARY KEY ("b", "a")) WITHOUT ROWID',
    'CREATE TABLE "only_words" ("word" text)',
    'CREATE INDEX "by_day" ON "book" ("day" DESC, "price")',
    'CREATE UNIQUE INDEX "by_price" ON "book" ("price") WHERE "price" > 5',
    'CREATE INDEX "by_length" ON "book" (length("title"))',
    'CREATE VIEW "titles" AS SELECT "id", "title" FROM "book"',
)
NAMES = ("author", "book", "two parts", "only_words", "titles")
METHODS = ("get_relations", "get_primary_key_columns", "get_constraints", "get_sequences")


@pytest.fixture(autouse=True)
def unblocked(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Let these tests connect to their own databases."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture(scope="module")
def bound() -> Iterator[DatabaseWrapper]:
    """Return a connection to this module's own database."""
    with (
        running_engine(["test_shapes"]) as engine,
        closing(connect(engine.url("test_shapes"), engine.secret)) as connection,
    ):
        yield connection


@pytest.fixture
def d1(bound: DatabaseWrapper) -> DatabaseWrapper:
    """Return the connection to the empty database."""
    bound.reset_database()
    return bound


@pytest.fixture
def sqlite(tmp_path: Any) -> Iterator[SQLite]:
    """Return a connection to a SQLite file."""
    settings = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "shapes")}}
    with closing(SQLite(connections.configure_settings(settings)["default"], "shapes")) as connection:
        vars(connection.features)["supports_json_field"] = True  # else it would query through `connections`
        yield connection


def make(connection: Any) -> None:
    """Create the tables."""
    with connection.cursor() as cursor:
        for statement in TABLES:
            cursor.execute(statement)


def ask(connection: Any, method: str, name: str) -> Any:
    """Call an introspection method for a table."""
    with connection.cursor() as cursor:
        return getattr(connection.introspection, method)(cursor, name)


@pytest.mark.parametrize("name", NAMES)
def test_it_returns_what_sqlite_returns(d1: DatabaseWrapper, sqlite: SQLite, name: str) -> None:
    """Also in the same order, which `inspectdb` keeps."""
    make(d1)
    make(sqlite)
    for method in METHODS:
        found, expected = ask(d1, method, name), ask(sqlite, method, name)
        assert found == expected
        assert list(found) == list(expected)
    for found, expected in zip(
        ask(d1, "get_table_description", name), ask(sqlite, "get_table_description", name), strict=True
    ):
        # older versions of SQLite return a type as it was written
        lower = {"type_code": expected.type_code.lower()}
        assert found._replace(type_code=found.type_code.lower()) == expected._replace(**lower)


def test_a_block_sees_tables_that_it_created_and_others_do_not(d1: DatabaseWrapper) -> None:
    """Before the COMMIT."""
    d1.set_autocommit(False)
    try:
        make(d1)
        with d1.cursor() as cursor:
            assert d1.introspection.table_names(cursor, include_views=True) == sorted(NAMES)
        assert ask(d1, "get_primary_key_columns", "two parts") == ["a", "b"]
    finally:
        d1.rollback()
        d1.set_autocommit(True)
    assert d1.introspection.table_names() == []


def test_tables_that_are_not_the_projects_are_not_listed(d1: DatabaseWrapper) -> None:
    """The backend's own tables (`_d1_`), Cloudflare's (`_cf_`) and SQLite's."""
    make(d1)
    d1.set_autocommit(False)
    with d1.cursor() as cursor:
        cursor.execute("INSERT INTO only_words VALUES ('x')")
    d1.commit()
    d1.set_autocommit(True)
    with d1.cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        existing = {name for (name,) in cursor.fetchall()}
        listed = {table.name: table.type for table in d1.introspection.get_table_list(cursor)}
    assert {"_d1_guard", "_cf_METADATA", "sqlite_sequence"} <= existing
    assert listed == {**dict.fromkeys(NAMES, "t"), "titles": "v"}


def test_a_method_is_one_round_trip(d1: DatabaseWrapper) -> None:
    """SQLite's backend would run one more query for each index."""
    make(d1)
    assert d1.connection is not None
    for method in (*METHODS, "get_table_description"):
        before = d1.connection.transport.round_trips
        ask(d1, method, "book")
        assert d1.connection.transport.round_trips == before + 1


def test_a_table_that_does_not_exist_is_an_error(d1: DatabaseWrapper) -> None:
    """As on SQLite."""
    with pytest.raises(DatabaseError, match="Table absent does not exist"):
        ask(d1, "get_table_description", "absent")
