"""`manage.py dbshell` on D1."""

import io
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from django.core.management.base import CommandError
from pytest_django.plugin import DjangoDbBlocker

from ..base import DatabaseWrapper
from ..client import Shell, display, display_width
from ..testing.engine import connect, running_engine


@pytest.fixture(autouse=True)
def unblocked(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Let these tests connect to their own databases."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture(scope="module")
def bound() -> Iterator[DatabaseWrapper]:
    """Return a connection to this module's own database."""
    with (
        running_engine(["test_shell"]) as engine,
        closing(connect(engine.url("test_shell"), engine.secret)) as connection,
    ):
        yield connection


@pytest.fixture
def connection(bound: DatabaseWrapper) -> DatabaseWrapper:
    """Return the connection, with one table of two goods."""
    bound.reset_database()
    with bound.cursor() as cursor:
        cursor.execute("CREATE TABLE goods (id INTEGER PRIMARY KEY, name TEXT, price INTEGER)")
        cursor.execute("INSERT INTO goods VALUES (1, '行灯', 4800), (2, 'Lamp', NULL)")
    return bound


def run(connection: DatabaseWrapper, script: str) -> str:
    """Run a script and return what it printed."""
    out = io.StringIO()
    Shell(connection, out).run_script(io.StringIO(script))
    return out.getvalue()


def type_lines(
    connection: DatabaseWrapper, monkeypatch: pytest.MonkeyPatch, *lines: Any
) -> tuple[str, list[str]]:
    """Type lines at a terminal; return the output and the prompts."""
    typed, prompts, out = iter(lines), [], io.StringIO()

    def answer(prompt: str) -> str:
        prompts.append(prompt)
        line = next(typed, EOFError())
        if isinstance(line, BaseException):
            raise line
        return str(line)

    monkeypatch.setattr("builtins.input", answer)
    Shell(connection, out).run_interactive()
    return out.getvalue(), prompts


def count(connection: DatabaseWrapper) -> int:
    """Return the number of committed goods."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM goods")
        return int(cursor.fetchone()[0])


def test_rows_are_printed_as_a_table(connection: DatabaseWrapper) -> None:
    """Numbers are aligned right; a kanji is two columns wide."""
    assert run(connection, "SELECT id, name, price FROM goods ORDER BY id;").splitlines() == [
        "id  name  price",
        "──  ────  ─────",
        " 1  行灯   4800",
        " 2  Lamp   NULL",
        "(2 rows)",
    ]


def test_column_names_are_printed_without_rows(connection: DatabaseWrapper) -> None:
    """So that a mistyped name is visible."""
    assert run(connection, "SELECT id AS number FROM goods WHERE 0").splitlines() == [
        "number",
        "──────",
        "(0 rows)",
    ]


def test_a_statement_may_take_several_lines_and_a_line_several_statements(
    connection: DatabaseWrapper,
) -> None:
    """Semicolons in texts, comments and triggers end no statement; the last semicolon is optional."""
    out = run(
        connection,
        "-- goods; of the shop\n"
        "INSERT INTO goods (name)\n  VALUES ('a;b'); SELECT name FROM goods WHERE id = 3; -- the end;\n"
        "CREATE TRIGGER keep BEFORE DELETE ON goods BEGIN\n  SELECT RAISE(ABORT, 'kept');\nEND;\n"
        "SELECT count(*) AS n FROM goods",
    )
    assert out.splitlines() == ["1 row changed", "name", "────", "a;b", "(1 row)", "n", "─", "3", "(1 row)"]


def test_a_script_ends_at_its_first_error(connection: DatabaseWrapper) -> None:
    """Statements before it stay, those after it do not run, and the line is reported."""
    with pytest.raises(CommandError, match=r"^Line 2: no such table: absent$"):
        run(connection, "DELETE FROM goods WHERE id = 1;\nDELETE FROM absent;\nDELETE FROM goods;\n")
    assert count(connection) == 1


def test_a_transaction_is_applied_as_a_whole(connection: DatabaseWrapper) -> None:
    """It may have a savepoint."""
    out = run(
        connection,
        "BEGIN IMMEDIATE;\nDELETE FROM goods;\nSAVEPOINT s;\nINSERT INTO goods (name) VALUES ('x');\n"
        "ROLLBACK TO s;\nSELECT count(*) AS n FROM goods;\nCOMMIT TRANSACTION;\n",
    )
    assert out.splitlines()[-4:] == ["n", "─", "0", "(1 row)"]
    assert count(connection) == 0
    assert connection.get_autocommit()


def test_a_transaction_can_be_rolled_back(connection: DatabaseWrapper) -> None:
    """Nothing of it is applied."""
    run(connection, "begin;\nDELETE FROM goods;\nrollback;\n")
    assert count(connection) == 2


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("BEGIN;\nDELETE FROM goods;\nDELETE FROM absent;\nCOMMIT;\n", "Line 3: .* was rolled back"),
        ("BEGIN;\nDELETE FROM goods;\n", "COMMIT is missing"),
        ("BEGIN;\nDELETE FROM goods;\nBEGIN;\n", "a transaction already"),
        ("COMMIT;\n", "There is no transaction"),
    ],
)
def test_a_failed_or_unfinished_transaction_changes_nothing(
    connection: DatabaseWrapper, script: str, reason: str
) -> None:
    """Neither an error, nor a missing COMMIT, nor a second BEGIN leaves changes."""
    with pytest.raises(CommandError, match=reason):
        run(connection, script)
    assert count(connection) == 2
    assert connection.get_autocommit()


def test_tables_and_their_sql_are_listed(connection: DatabaseWrapper) -> None:
    """The backend's own and Cloudflare's are not display."""
    run(
        connection,
        "CREATE INDEX by_name ON goods (name);\nCREATE VIEW dear AS SELECT * FROM goods;\nBEGIN;\nEND;\n",
    )
    assert run(connection, ".tables").splitlines() == ["dear", "goods"]
    assert run(connection, ".schema goods").splitlines() == [
        "CREATE TABLE goods (id INTEGER PRIMARY KEY, name TEXT, price INTEGER);",
        "CREATE INDEX by_name ON goods (name);",
    ]
    assert "CREATE VIEW dear" in run(connection, ".schema")
    with pytest.raises(CommandError, match="There is no table absent"):
        run(connection, ".schema absent")
    with pytest.raises(CommandError, match=r"There is no \.dump"):
        run(connection, ".dump")


def test_at_a_terminal_an_error_is_printed_and_the_shell_continues(
    connection: DatabaseWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no traceback, and the prompt shows the state."""
    out, prompts = type_lines(
        connection,
        monkeypatch,
        "SELECT * FROM absent;",
        "SELECT 1",
        "AS one;",
        "BEGIN;",
        "DELETE FROM goods;",
        "SELECT (",
        KeyboardInterrupt(),
        ".help",
        ".quit",
    )
    assert "Error: no such table: absent" in out
    assert "one\n───\n  1\n(1 row)" in out
    assert "COMMIT" in out
    assert out.endswith("The open transaction was rolled back.\n")
    assert prompts == ["d1> ", "d1> ", "  …> ", "d1> ", "d1*> ", "d1*> ", "  …> ", "d1*> ", "d1*> "]
    assert count(connection) == 2


def test_control_d_ends_the_shell(connection: DatabaseWrapper, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in other shells."""
    _out, prompts = type_lines(connection, monkeypatch)
    assert prompts == ["d1> "]


def test_single_statements_can_be_given_as_arguments(
    connection: DatabaseWrapper, capsys: pytest.CaptureFixture[str]
) -> None:
    """`manage.py dbshell -- -c …`; the semicolon is optional."""
    connection.client.runshell(["-c", "UPDATE goods SET price = 1", "--command", ".tables"])
    assert capsys.readouterr().out.splitlines() == ["2 rows changed", "goods"]
    with pytest.raises(CommandError, match="no such column"):
        connection.client.runshell(["-c", "UPDATE goods SET prise = 1"])


def test_stored_control_characters_do_not_reach_the_terminal() -> None:
    """A customer's name may contain escape sequences."""
    assert display("a\x1b[2J\nb") == "a\\x1b[2J\\nb"
    assert display(b"\x00\xff") == "x'00ff'"
    assert display("x" * 500) == "x" * 200 + "…"
    assert display_width("ｶﾅ カナ が") == 2 + 1 + 4 + 1 + 2
