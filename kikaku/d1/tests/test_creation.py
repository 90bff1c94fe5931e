"""Tests run in a database of their own, and never touch another one."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any, NoReturn

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from pytest_django.plugin import DjangoDbBlocker

from .. import address, transport
from ..base import DatabaseWrapper
from ..engine import Engine
from ..testing.engine import running_engine


def connect(url: str, secret: str = "s" * 40, **test: Any) -> DatabaseWrapper:
    """Return a connection as DATABASE_URL makes it."""
    settings = address.database(url, gateway_secret=secret, api_token="token")
    return DatabaseWrapper(
        connections.configure_settings({"default": {**settings, "TEST": test}})["default"], "shop"
    )


def create(connection: DatabaseWrapper, **options: Any) -> str:
    """Do what the test runner does before it migrates."""
    given = {"verbosity": 0, "autoclobber": True, **options}
    return str(connection.creation._create_test_db(**given))  # type: ignore[attr-defined]


def destroy(connection: DatabaseWrapper, name: str) -> None:
    """Do what it does at the end."""
    connection.creation._destroy_test_db(name, 0)  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def unblocked(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Let these tests connect to databases of their own."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Run an engine with a shop, and a database for its tests."""
    with running_engine(["shop", "test_shop"]) as running:
        yield running


@pytest.fixture
def shop(engine: Engine) -> Iterator[DatabaseWrapper]:
    """Return a connection to the shop, with a customer in it."""
    with closing(connect(engine.url("shop"), engine.secret)) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS customer")
        cursor.execute("CREATE TABLE customer (name TEXT)")
        cursor.execute("INSERT INTO customer VALUES ('佐藤')")
        yield connection
        cursor.execute("SELECT name FROM customer")
        assert cursor.fetchall() == [("佐藤",)]


@pytest.fixture
def tests(engine: Engine, shop: DatabaseWrapper) -> Iterator[DatabaseWrapper]:
    """Return a connection to the test database, with tables of an earlier run that hang together."""
    with closing(connect(engine.url("test_shop"), engine.secret)) as connection:
        connection.reset_database()
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE author (id INTEGER PRIMARY KEY, best INTEGER REFERENCES book (id))")
            cursor.execute(
                "CREATE TABLE book (id INTEGER PRIMARY KEY, author INTEGER NOT NULL REFERENCES author (id))"
            )
            cursor.execute("INSERT INTO author VALUES (1, NULL)")
            cursor.execute("INSERT INTO book VALUES (1, 1)")
            cursor.execute("UPDATE author SET best = 1")
            cursor.execute("CREATE VIEW best AS SELECT best FROM author")
            cursor.execute(
                "CREATE TRIGGER no_end BEFORE DELETE ON book BEGIN SELECT RAISE(ABORT, 'never'); END"
            )
        yield connection


def tables(connection: DatabaseWrapper) -> list[str]:
    """Return what is in a database."""
    return connection.introspection.table_names(include_views=True)


@pytest.mark.parametrize(
    ("url", "test", "reason"),
    [
        ("d1://127.0.0.1:9/shop", {"NAME": "production"}, "must begin with 'test_'"),
        ("d1://127.0.0.1:9/shop", {"NAME": "shop"}, "must begin with 'test_'"),
        ("d1://127.0.0.1:9/test_shop", {"NAME": "test_shop"}, "this one is the configured one"),
        ("d1-rest://account/database", {}, "REST"),
    ],
)
def test_it_refuses_what_is_not_a_test_database_before_anything_is_sent(
    url: str, test: dict[str, str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the runner's first look at the settings nor the creation gets further."""

    def no_request(*_: Any) -> NoReturn:
        pytest.fail("a request was sent")

    monkeypatch.setattr(transport, "pool", no_request)
    connection = connect(url, **test)
    for act in (connection.creation.test_db_signature, lambda: create(connection)):
        with pytest.raises(ImproperlyConfigured, match=reason):
            act()
    with pytest.raises(ImproperlyConfigured, match="not the database that the tests ran on"):
        destroy(connection, connection.settings_dict["NAME"])


def test_it_empties_the_test_database_and_no_other(shop: DatabaseWrapper, tests: DatabaseWrapper) -> None:
    """Tables that reference each other, a view and a trigger are no hindrance."""
    assert tables(tests) == ["author", "best", "book"]
    assert create(shop) == "test_shop"
    assert tables(tests) == []
    assert shop.settings_dict["NAME"] == "shop"


def test_it_can_be_used_a_second_time(shop: DatabaseWrapper, tests: DatabaseWrapper) -> None:
    """As a run after a run, and a run after one that was killed."""
    create(shop)
    destroy(shop, "test_shop")
    create(shop)
    assert tables(tests) == []


def test_it_asks_before_it_empties(
    shop: DatabaseWrapper, tests: DatabaseWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless the runner was told not to ask."""
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return "no"

    monkeypatch.setattr("builtins.input", answer)
    with pytest.raises(SystemExit):
        create(shop, autoclobber=False)
    assert tables(tests) == ["author", "best", "book"]
    assert "'test_shop', which holds 3 tables" in asked[0]


def test_it_asks_nothing_where_nothing_is(
    shop: DatabaseWrapper, tests: DatabaseWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run on a machine begins at once."""
    tests.reset_database()
    monkeypatch.setattr("builtins.input", lambda _question: pytest.fail("a question was asked"))
    create(shop, autoclobber=False)


def test_it_keeps_the_database_when_asked_to(shop: DatabaseWrapper, tests: DatabaseWrapper) -> None:
    """`--keepdb`."""
    create(shop, keepdb=True)
    assert tables(tests) == ["author", "best", "book"]


def test_it_says_how_to_declare_a_database(engine: Engine) -> None:
    """A test database that the gateway does not know."""
    connection = connect(engine.url("shop"), engine.secret, NAME="test_elsewhere")
    with pytest.raises(ImproperlyConfigured, match=r"python -m \S+\.engine shop test_elsewhere"):
        create(connection)


def test_it_destroys_only_what_it_created(shop: DatabaseWrapper, tests: DatabaseWrapper) -> None:
    """Also no other database whose name would do."""
    with pytest.raises(ImproperlyConfigured, match="not the database that the tests ran on"):
        destroy(shop, "test_shop")
    assert tables(tests) == ["author", "best", "book"]


def test_it_makes_no_copies(shop: DatabaseWrapper) -> None:
    """A parallel run needs them."""
    with pytest.raises(NotImplementedError, match="an engine of its own"):
        shop.creation.clone_test_db("1", verbosity=0)


def test_databases_of_two_hosts_are_not_the_same_one() -> None:
    """Though they have one name."""
    signatures = {
        connect(f"d1://{host}/{name}").creation.test_db_signature()
        for host in ("one.internal", "two.internal")
        for name in ("shop", "other")
    }
    assert len(signatures) == 4
