"""PostgreSQL: nothing waits for ever, and a restart of the server costs no request."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from django.db import OperationalError, connection, connections, transaction
from django.db.backends.postgresql.base import DatabaseWrapper
from pytest_django import DjangoDbBlocker

from kikaku import postgresql
from kikaku.testing.database import database_environment, engine
from kikaku.wsgi import application
from shop.testing import build, wsgi

SERVER = pytest.mark.skipif(engine() != "postgresql", reason="needs PostgreSQL")
THREADS = 8


def seconds_of(act: Callable[[], object]) -> float:
    """Return how long an act took that fails with an `OperationalError`."""
    began = time.monotonic()
    with pytest.raises(OperationalError):
        act()
    return time.monotonic() - began


def test_a_server_that_does_not_answer_is_given_up_after_five_seconds(
    django_db_blocker: DjangoDbBlocker,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, django_db_blocker.unblock():
        port = silent.getsockname()[1]
        entry = postgresql.database(f"postgres://shop:x@127.0.0.1:{port}/shop")
        wrapper = DatabaseWrapper(connections.configure_settings({"default": entry})["default"], "shop")
        assert 4 <= seconds_of(wrapper.ensure_connection) <= 20


def test_the_address_may_lift_a_limit_and_name_options_of_its_own() -> None:
    address = "postgres://h/shop?sslmode=require&connect_timeout=9&options=-c%20statement_timeout%3D0"
    entry = postgresql.database(address)
    assert (entry["OPTIONS"]["sslmode"], int(entry["OPTIONS"]["connect_timeout"])) == ("require", 9)
    assert entry["OPTIONS"]["options"].endswith("-c statement_timeout=60s -c statement_timeout=0")
    assert entry["CONN_HEALTH_CHECKS"] and entry["CONN_MAX_AGE"] == 600


@contextmanager
def locked_table() -> Iterator[None]:
    """Hold a lock on the products that blocks even readers, from another session."""
    url = database_environment()["DATABASE_URL"]
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE shop_product IN ACCESS EXCLUSIVE MODE")
        yield


@SERVER
@pytest.mark.django_db(transaction=True)
def test_a_locked_table_is_waited_for_five_seconds_by_pages_and_writers() -> None:
    build.product()

    def read() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM shop_product")

    @transaction.atomic
    def write() -> None:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE shop_product SET position = position")

    with locked_table():
        for act in (read, write):
            assert 4 <= seconds_of(act) <= 20
    write()


@SERVER
@pytest.mark.django_db(transaction=True)
def test_a_statement_ends_after_a_minute() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("1min",)


@SERVER
@pytest.mark.django_db(transaction=True)
def test_after_a_restart_of_the_server_no_request_fails() -> None:
    build.product()
    together = threading.Barrier(THREADS)

    def look(number: int) -> int:
        together.wait(timeout=30)  # so that each thread asks once
        path = "/search/?q=x" if number % 2 else "/products/"  # from Django, from the page store
        return wsgi.ask(application, path).status

    with ThreadPoolExecutor(THREADS) as threads:
        assert list(threads.map(look, range(THREADS))) == [200] * THREADS
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity"  # waits until each has ended
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            assert len(cursor.fetchall()) >= THREADS
        assert list(threads.map(look, range(THREADS))) == [200] * THREADS

        def close(_number: int) -> None:
            together.wait(timeout=30)
            connections.close_all()

        list(threads.map(close, range(THREADS)))
