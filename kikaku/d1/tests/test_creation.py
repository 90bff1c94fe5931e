"""Tests run in the test database, and never change another one."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any, NoReturn

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django.plugin import DjangoDbBlocker

from .. import transport
from ..base import DatabaseWrapper
from ..engine import Engine
from ..testing.engine import connect, running_engine


def create(connection: DatabaseWrapper, **options: Any) -> str:
    """Create the test database as the test runner does."""
    given = {"verbosity": 0, "autoclobber": True, **options}
    return str(connection.creation._create_test_db(**given))  # type: ignore[attr-defined]


def destroy(connection: DatabaseWrapper, name: str) -> None:
    """Destroy it as the test runner does."""
    connection.creation._destroy_test_db(name, 0)  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def unblocked(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Let these tests connect to their own databases."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Run an engine with a shop and its test database."""
    with running_engine(["shop", "test_shop"]) as running:
        yield running


@pytest.fixture
def shop(engine: Engine) -> Iterator[DatabaseWrapper]:
    """Return a connection to the shop, which must keep its customer."""
    with closing(connect(engine.url("shop"), engine.secret)) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS customer")
        cursor.execute("CREATE TABLE customer (name TEXT)")
        cursor.execute("INSERT INTO customer VALUES ('佐藤')")
        yield connection
        cursor.execute("SELECT name FROM customer")
        assert cursor.fetchall() == [("佐藤",)]


@pytest.fixture
def tests(engine: Engine, shop: DatabaseWrapper) -> Iterator[DatabaseWrapper]:
    """Return a connection to the test database, with tables of an earlier run that reference each other."""
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
    """Return the tables and views of a database."""
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
def test_a_database_that_is_no_test_database_is_refused_before_any_request(
    url: str, test: dict[str, str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the runner's first look at the settings, and by the creation."""

    def no_request(*_: Any) -> NoReturn:
        pytest.fail("a request was sent")

    monkeypatch.setattr(transport, "pool", no_request)
    connection = connect(url, **test)
    for act in (connection.creation.test_db_signature, lambda: create(connection)):
        with pytest.raises(ImproperlyConfigured, match=reason):
            act()
    with pytest.raises(ImproperlyConfigured, match="not the database that the tests ran on"):
        destroy(connection, connection.settings_dict["NAME"])


def test_only_the_test_database_is_emptied(shop: DatabaseWrapper, tests: DatabaseWrapper) -> None:
    """Also with tables that reference each other, a view and a trigger."""
    assert tables(tests) == ["author", "best", "book"]
    assert create(shop) == "test_shop"
    assert tables(tests) == []
    assert shop.settings_dict["NAME"] == "shop"


def test_it_can_be_created_a_second_time(shop: DatabaseWrapper, tests: DatabaseWrapper) -> None:
    """After a run, and after one that was killed."""
    create(shop)
    destroy(shop, "test_shop")
    create(shop)
    assert tables(tests) == []


def test_it_asks_before_it_empties_the_database(
    shop: DatabaseWrapper, tests: DatabaseWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless `--noinput` is given."""
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return "no"

    monkeypatch.setattr("builtins.input", answer)
    with pytest.raises(SystemExit):
        create(shop, autoclobber=False)
    assert tables(tests) == ["author", "best", "book"]
    assert "'test_shop', which holds 3 tables" in asked[0]


def test_it_does_not_ask_for_an_empty_database(
    shop: DatabaseWrapper, tests: DatabaseWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run on a machine begins immediately."""
    tests.reset_database()
    monkeypatch.setattr("builtins.input", lambda _question: pytest.fail("a question was asked"))
    create(shop, autoclobber=False)


def test_keepdb_keeps_the_database(shop: DatabaseWrapper, tests: DatabaseWrapper) -> None:
    """`--keepdb`."""
    create(shop, keepdb=True)
    assert tables(tests) == ["author", "best", "book"]


def test_an_unknown_test_database_is_refused_with_how_to_declare_it(engine: Engine) -> None:
    """With the command that starts an engine."""
    connection = connect(engine.url("shop"), engine.secret, NAME="test_elsewhere")
    with pytest.raises(ImproperlyConfigured, match=r"python -m \S+\.engine shop test_elsewhere"):
        create(connection)


def test_only_a_created_test_database_is_destroyed(shop: DatabaseWrapper, tests: DatabaseWrapper) -> None:
    """Not another one with an acceptable name."""
    with pytest.raises(ImproperlyConfigured, match="not the database that the tests ran on"):
        destroy(shop, "test_shop")
    assert tables(tests) == ["author", "best", "book"]


def test_clones_are_refused(shop: DatabaseWrapper) -> None:
    """`--parallel` needs them."""
    with pytest.raises(NotImplementedError, match="an engine of its own"):
        shop.creation.clone_test_db("1", verbosity=0)


def test_databases_of_two_hosts_differ() -> None:
    """Also with the same name."""
    signatures = {
        connect(f"d1://{host}/{name}").creation.test_db_signature()
        for host in ("one.internal", "two.internal")
        for name in ("shop", "other")
    }
    assert len(signatures) == 4
