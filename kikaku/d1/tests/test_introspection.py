"""D1's introspection tells what SQLite's backend tells about the same tables."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from django.db import DatabaseError, connections
from django.db.backends.sqlite3.base import DatabaseWrapper as SQLite
from pytest_django.plugin import DjangoDbBlocker

from ..base import DatabaseWrapper
from ..testing.engine import running_engine
from .test_creation import connect

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
QUESTIONS = ("get_relations", "get_primary_key_columns", "get_constraints", "get_sequences")


@pytest.fixture(autouse=True)
def unblocked(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Let these tests connect to databases of their own."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture(scope="module")
def bound() -> Iterator[DatabaseWrapper]:
    """Return a connection to a database of this module's own."""
    with (
        running_engine(["test_shapes"]) as engine,
        closing(connect(engine.url("test_shapes"), engine.secret)) as connection,
    ):
        yield connection


@pytest.fixture
def d1(bound: DatabaseWrapper) -> DatabaseWrapper:
    """Return the connection, with nothing in it but what the backend needs."""
    bound.reset_database()
    return bound


@pytest.fixture
def sqlite(tmp_path: Any) -> Iterator[SQLite]:
    """Return a connection to a file of SQLite."""
    settings = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "shapes")}}
    with closing(SQLite(connections.configure_settings(settings)["default"], "shapes")) as connection:
        vars(connection.features)["supports_json_field"] = True  # it would ask through `connections`
        yield connection


def make(connection: Any) -> None:
    """Make the tables."""
    with connection.cursor() as cursor:
        for statement in TABLES:
            cursor.execute(statement)


def ask(connection: Any, question: str, name: str) -> Any:
    """Ask something about a table."""
    with connection.cursor() as cursor:
        return getattr(connection.introspection, question)(cursor, name)


@pytest.mark.parametrize("name", NAMES)
def test_it_answers_as_sqlite_does(d1: DatabaseWrapper, sqlite: SQLite, name: str) -> None:
    """Names in the same order, too: `inspectdb` writes them as they come."""
    make(d1)
    make(sqlite)
    for question in QUESTIONS:
        told, expected = ask(d1, question, name), ask(sqlite, question, name)
        assert told == expected
        assert list(told) == list(expected)
    for told, expected in zip(
        ask(d1, "get_table_description", name), ask(sqlite, "get_table_description", name), strict=True
    ):
        # SQLite of this machine may be older, and older ones give a type as it was written
        lower = {"type_code": expected.type_code.lower()}
        assert told._replace(type_code=told.type_code.lower()) == expected._replace(**lower)


def test_it_sees_what_the_block_made_and_nobody_else_does(d1: DatabaseWrapper) -> None:
    """DDL that was not committed."""
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


def test_it_does_not_list_what_is_not_the_projects(d1: DatabaseWrapper) -> None:
    """The backend's own tables (`_d1_`), Cloudflare's (`_cf_`) and SQLite's."""
    make(d1)
    d1.set_autocommit(False)
    with d1.cursor() as cursor:
        cursor.execute("INSERT INTO only_words VALUES ('x')")
    d1.commit()
    d1.set_autocommit(True)
    with d1.cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        there = {name for (name,) in cursor.fetchall()}
        listed = {table.name: table.type for table in d1.introspection.get_table_list(cursor)}
    assert {"_d1_guard", "_cf_METADATA", "sqlite_sequence"} <= there
    assert listed == {**dict.fromkeys(NAMES, "t"), "titles": "v"}


def test_a_question_is_one_round_trip(d1: DatabaseWrapper) -> None:
    """Each takes milliseconds; SQLite's own way asks once more for each index."""
    make(d1)
    assert d1.connection is not None
    for question in (*QUESTIONS, "get_table_description"):
        before = d1.connection.transport.round_trips
        ask(d1, question, "book")
        assert d1.connection.transport.round_trips == before + 1


def test_a_table_that_does_not_exist_is_an_error(d1: DatabaseWrapper) -> None:
    """As on SQLite."""
    with pytest.raises(DatabaseError, match="Table absent does not exist"):
        ask(d1, "get_table_description", "absent")
