"""`manage.py dbshell` on D1. There is no client program: statements run through the connection.

    manage.py dbshell                              at a terminal: `.help` lists the commands
    manage.py dbshell < changes.sql                a script; ends at its first error, with exit status 1
    manage.py dbshell -- -c "SELECT 1" -c .tables  single statements

Each statement is its own transaction until BEGIN; what follows is a block, applied as a whole at COMMIT.
"""

import argparse
import contextlib
import re
import sqlite3
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db.backends.base.client import BaseDatabaseClient
from django.db.utils import Error

from .statements import kind_of

MAX_VALUE_LENGTH = 200  # characters of one value that are shown
HELP = """\
SQL ends with a semicolon and may take several lines.
  BEGIN; … COMMIT; or ROLLBACK;   a transaction: applied as a whole, or not at all
  .tables                         list tables and views
  .schema [TABLE]                 show the SQL that created them
  .quit                           leave (Ctrl-D); an open transaction is rolled back"""
BLOCK = re.compile(
    r"(BEGIN|COMMIT|END|ROLLBACK)(\s+(DEFERRED|IMMEDIATE|EXCLUSIVE))?(\s+TRANSACTION)?\s*;?", re.I
)


class DatabaseClient(BaseDatabaseClient):
    """The shell that `dbshell` runs."""

    executable_name = "dbshell"

    def runshell(self, parameters: Iterable[str]) -> None:
        """Run the statements of `-c`, else those of standard input.

        Raises:
            CommandError: a statement of a script or of `-c` failed.
        """
        parser = argparse.ArgumentParser(prog="manage.py dbshell --", description=__doc__.partition("\n")[0])
        parser.add_argument("-c", "--command", action="append", metavar="SQL", help="run this and leave")
        asked = parser.parse_args(list(parameters)).command
        shell = Shell(self.connection, sys.stdout)
        if asked:
            shell.run_script(command if command.startswith(".") else f"{command};" for command in asked)
        elif sys.stdin.isatty():
            shell.run_interactive()
        else:
            shell.run_script(sys.stdin)


class Shell:
    """Runs statements and dot commands, and prints their results."""

    def __init__(self, connection: Any, out: TextIO) -> None:
        self.connection = connection
        self.out = out
        self.pending = ""  # the start of a statement that has not ended

    # ── Input ────────────────────────────────────────────────────────────────────────────────────────────

    def run_interactive(self) -> None:
        """Read and run lines from a terminal until `.quit` or Ctrl-D."""
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  (gives input() its editing)
        self._print("D1, through Django. `.help` lists the commands.")
        while True:
            try:
                line = input(self._prompt())
                if line.strip() in (".quit", ".exit"):
                    break
                for statement in self._complete(line):
                    self._run(statement)
            except EOFError:
                self._print("")
                break
            except KeyboardInterrupt:
                self.pending = ""
                self._print("")
            except (Error, ImproperlyConfigured, OverflowError) as error:
                self._print(f"Error: {error}")
        if self._drop_block():
            self._print("The open transaction was rolled back.")

    def run_script(self, lines: Iterable[str]) -> None:
        """Run all lines up to the first error. Raises `CommandError`."""
        number = 0
        try:
            for number, line in enumerate(lines, start=1):  # noqa: B007  (used in the error)
                if line.strip() in (".quit", ".exit"):
                    break
                for statement in self._complete(line):
                    self._run(statement)
            if self.pending:  # the last semicolon may be left out
                self._run(self.pending)
        except (Error, ImproperlyConfigured, OverflowError) as error:
            dropped = " The open transaction was rolled back." if self._drop_block() else ""
            raise CommandError(f"Line {number}: {error}{dropped}") from None
        if self._drop_block():
            raise CommandError(
                "The script ended within a transaction, which was rolled back: COMMIT is missing."
            )

    def _prompt(self) -> str:
        if self.pending.strip():
            return "  …> "
        return "d1> " if self.connection.get_autocommit() else "d1*> "

    def _complete(self, line: str) -> Iterator[str]:
        """Add a line to the pending text, and yield the statements that are complete now."""
        if not self.pending.strip() and line.startswith("."):
            yield line.strip()
            return
        self.pending += line if line.endswith("\n") else f"{line}\n"
        end = self.pending.find(";", max(0, len(self.pending) - len(line) - 1))
        while end >= 0:
            statement = self.pending[: end + 1]
            if sqlite3.complete_statement(statement):
                # removed before it runs: after an error it must not run again
                self.pending = self.pending[end + 1 :].lstrip()
                end = -1
                yield statement
            end = self.pending.find(";", end + 1)

    # ── Statements and commands ──────────────────────────────────────────────────────────────────────────

    def _run(self, statement: str) -> None:
        if statement.startswith("."):
            self._command(*statement.split())
        elif block := BLOCK.fullmatch(statement.strip()):
            self._block(block[1].upper())
        elif kind_of(statement).verb:  # else it is a comment or empty
            with self.connection.cursor() as cursor:
                cursor.execute(statement.strip().removesuffix(";"))
                if cursor.description is not None:
                    rows = cursor.fetchall()
                    self._show([column[0] for column in cursor.description], rows)
                    self._print(f"({pluralize(len(rows), 'row')})")
                elif kind_of(statement).is_write and cursor.rowcount >= 0:
                    self._print(f"{pluralize(cursor.rowcount, 'row')} changed")

    def _block(self, verb: str) -> None:
        """Begin or end a transaction."""
        inside = not self.connection.get_autocommit()
        if verb == "BEGIN":
            if inside:
                raise Error("There is a transaction already.")
            self.connection.set_autocommit(False)
            return
        if not inside:
            raise Error("There is no transaction.")
        try:
            if verb == "ROLLBACK":
                self.connection.rollback()
            else:
                self.connection.commit()
        finally:  # a refused COMMIT ends the transaction, too
            self._drop_block()

    def _drop_block(self) -> bool:
        """Roll back an open transaction, and return whether there was one."""
        if self.connection.get_autocommit():
            return False
        self.connection.rollback()
        self.connection.set_autocommit(True)
        return True

    def _command(self, name: str, *arguments: str) -> None:
        if name == ".tables":
            for table in self.connection.introspection.table_names(include_views=True):
                self._print(table)
        elif name == ".schema":
            self._schema(*arguments[:1])
        elif name == ".help":
            self._print(HELP)
        else:
            raise Error(f"There is no {name}: see .help")

    def _schema(self, table: str | None = None) -> None:
        """Show the SQL of tables, views, indexes and triggers."""
        with self.connection.cursor() as cursor:
            names = [found.name for found in self.connection.introspection.get_table_list(cursor)]
            cursor.execute(
                "SELECT tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL "
                "ORDER BY tbl_name, type DESC, name"
            )
            for name, sql in cursor.fetchall():
                if name in names and table in (None, name):
                    self._print(f"{sql};")
        if table is not None and table not in names:
            raise Error(f"There is no table {table}.")

    # ── Output ───────────────────────────────────────────────────────────────────────────────────────────

    def _print(self, text: str) -> None:
        self.out.write(f"{text}\n")
        self.out.flush()

    def _show(self, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Print rows as a table, numbers aligned right."""
        cells = [[display(value) for value in row] for row in rows]
        widths = [max(map(display_width, column)) for column in zip(names, *cells, strict=True)]
        numeric = [
            all(isinstance(value, int | float | None) for value in column)
            for column in zip(*rows, strict=True)
        ]
        numeric = numeric or [False] * len(names)
        for line in [names, ["─" * wide for wide in widths], *cells]:
            padded = [
                " " * (wide - display_width(cell)) + cell
                if right
                else cell + " " * (wide - display_width(cell))
                for cell, wide, right in zip(line, widths, numeric, strict=True)
            ]
            self._print("  ".join(padded).rstrip())


def display(value: Any) -> str:
    """Return a value as one line of text without control characters, which a terminal would obey."""
    if value is None:
        return "NULL"
    text = f"x'{value.hex()}'" if isinstance(value, bytes) else str(value)
    text = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in text[:MAX_VALUE_LENGTH]
    )
    return f"{text}…" if len(str(value)) > MAX_VALUE_LENGTH else text


def display_width(text: str) -> int:
    """Return how many columns a text takes on a terminal: kana, kanji and full-width forms take two."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def pluralize(number: int, noun: str) -> str:
    """Return `1 row`, `2 rows`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
