"""`manage.py d1_selftest` on a correct D1, on one that differs, and without any."""

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.backends.sqlite3.base import DatabaseWrapper as SQLite

from .. import transport
from ..base import DatabaseWrapper
from ..engine import Engine
from ..selftest.running import ASSUMPTIONS
from ..testing.engine import GatewayClient, manage, wrapper
from .faults.proxy import Answer, Exchange, Fault, Proxy

SCRATCH = "_d1_selftest_"


@dataclass(frozen=True)
class CommandResult:
    """The exit status of the command and what it printed."""

    status: int
    out: str
    errors: str

    def failed(self) -> list[str]:
        """Return the names of the assumptions that do not hold."""
        return [one["name"] for one in json.loads(self.out)["assumptions"] if not one["holds"]]


def selftest(database: str = "d1", **options: Any) -> CommandResult:
    out, errors = StringIO(), StringIO()
    status = 0
    try:
        call_command("d1_selftest", database=database, stdout=out, stderr=errors, **options)
    except CommandError as error:
        status = error.returncode
        errors.write(str(error))
    except SystemExit as end:
        assert isinstance(end.code, int)
        status = end.code
    return CommandResult(status, out.getvalue(), errors.getvalue())


def tables(gateway: GatewayClient) -> list[str]:
    """Return the tables and views of the database, without the engine's own."""
    ask = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name"
    status, answer = gateway.ask({"raw": [ask]}, path="/v1/test_first")
    assert status == 200, answer
    return [name for (name,) in answer["rows"] if not name.startswith(("_cf_", "sqlite_"))]


def run(gateway: GatewayClient, *statements: str) -> Any:
    status, answer = gateway.ask({"batch": [[one] for one in statements]}, path="/v1/test_first")
    assert status == 200, answer
    return [one["rows"] for one in answer["results"]]


@pytest.fixture
def line(engine: Engine, d1: DatabaseWrapper, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Put a proxy between `connections["line"]` and the engine."""
    monkeypatch.setattr(transport, "RETRY_WAITS", (0.001, 0.01))  # seconds between tries
    proxy = Proxy(engine.address)
    proxy.up()
    connections["line"] = wrapper(replace(engine, address=f"127.0.0.1:{proxy.port}"), "test_first", "line")
    yield proxy
    connections["line"].close()
    del connections["line"]
    proxy.close()


# ── A correct database ───────────────────────────────────────────────────────────────────────────────────


def test_every_assumption_holds_on_cloudflares_engine(d1: DatabaseWrapper) -> None:
    result = selftest()
    assert result.status == 0
    lines = result.out.splitlines()
    assert lines[0] == "Testing 'test_first' through the gateway at 127.0.0.1."
    for number, assumption in enumerate(ASSUMPTIONS, 1):
        assert lines[number].startswith(f"[{number:>2}/{len(ASSUMPTIONS)}] {assumption.name} … ok: ")
    assert lines[-1] == f"All {len(ASSUMPTIONS)} assumptions hold."
    assert "SELECT 1 (25 times)" in result.out and "COMMIT of one write" in result.out


@pytest.mark.nightly
def test_other_tables_are_not_touched(d1: DatabaseWrapper, gateway: GatewayClient) -> None:
    run(
        gateway,
        "CREATE TABLE customer (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT)",
        "CREATE TABLE a_d1_selftest_b (a)",  # LIKE, where `_` is a wildcard, would match it
        "INSERT INTO customer (name) VALUES ('山田花子')",
    )
    result = selftest()
    assert result.status == 0 and "山田" not in result.out + result.errors
    assert [name for name in tables(gateway) if not name.startswith("_d1_")] == [
        "a_d1_selftest_b",
        "customer",
    ]
    assert not [name for name in tables(gateway) if name.startswith(SCRATCH)]
    found = run(
        gateway, "SELECT * FROM customer", "SELECT name, seq FROM sqlite_sequence WHERE name<>'_d1_sequence'"
    )
    assert found == [[[1, "山田花子"]], [["customer", 1]]]


@pytest.mark.nightly
def test_tables_of_an_interrupted_run_are_removed(d1: DatabaseWrapper, gateway: GatewayClient) -> None:
    run(
        gateway,
        f"CREATE TABLE {SCRATCH}row (another)",
        f"CREATE TABLE {SCRATCH}parent (id INTEGER PRIMARY KEY)",
        f"CREATE TABLE {SCRATCH}child (parent INTEGER REFERENCES {SCRATCH}parent (id))",
        f"CREATE VIEW {SCRATCH}view AS SELECT * FROM {SCRATCH}child",
        f"INSERT INTO {SCRATCH}parent VALUES (1)",
        f"INSERT INTO {SCRATCH}child VALUES (1)",
    )
    assert selftest().status == 0
    assert not [name for name in tables(gateway) if name.startswith(SCRATCH)]


@pytest.mark.nightly
def test_json_has_findings_latencies_and_figures(d1: DatabaseWrapper) -> None:
    result = selftest(json=True)
    found = json.loads(result.out)
    assert result.status == 0
    assert (found["database"], found["holds"], found["failure"]) == ("d1", True, "")
    assert [one["name"] for one in found["assumptions"]] == [one.name for one in ASSUMPTIONS]
    assert all(one["holds"] and one["seen"] and one["otherwise"] for one in found["assumptions"])
    assert found["figures"] == {"largest_error_text": 1_900_000}
    assert [one["times"] for one in found["latencies"]] == [25, 10, 10, 10]
    assert all(0 < one["median_ms"] <= one["slowest_ms"] for one in found["latencies"])
    assert f"[ 1/{len(ASSUMPTIONS)}]" in result.errors  # the progress


def test_the_command_ends_with_0_and_its_help_has_an_example(engine: Engine) -> None:
    def run_command(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command, environment = manage(engine, "second", "d1_selftest", *arguments)
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)

    done = run_command()
    assert done.returncode == 0, done.stdout + done.stderr
    assert engine.secret not in done.stdout + done.stderr
    assert "Example: python manage.py d1_selftest" in " ".join(run_command("--help").stdout.split())


# ── Cloudflare's REST interface ──────────────────────────────────────────────────────────────────────────


def as_rest(engine: Engine) -> Fault:
    """Return a fault that answers as Cloudflare's REST interface does, with the engine behind it."""

    def fault(exchange: Exchange) -> None:
        asked = json.loads(exchange.body)
        if "batch" in asked:
            body: Any = {"batch": [[one["sql"], one["params"]] for one in asked["batch"]]}
        else:
            body = {"raw": [asked["sql"], asked["params"]]}
        status, reply = GatewayClient(engine).ask(body, path="/v1/test_first")
        if status != 200:
            content = {"success": False, "errors": [{"code": 7500, "message": reply["error"]}], "result": []}
            exchange.answer(Answer(400, json.dumps(content).encode()))
            return
        results = [
            {
                "results": {"columns": one.get("columns", []), "rows": one["rows"]},
                "meta": {"rows_read": one.get("read", 0), "rows_written": one.get("written", 0)},
            }
            for one in reply.get("results", [reply])
        ]
        exchange.answer(Answer(200, json.dumps({"success": True, "result": results}).encode()))

    return fault


@pytest.mark.nightly
def test_it_works_through_cloudflares_rest_interface(
    engine: Engine, line: Proxy, gateway: GatewayClient
) -> None:
    connection = connections["line"]
    connection.settings_dict["OPTIONS"] = {"transport": "rest"}
    connection.settings_dict["USER"] = "account"
    line.plan(lambda _number: as_rest(engine))
    result = selftest("line")
    assert result.status == 0, result.out
    assert result.out.startswith("Testing 'test_first' through Cloudflare's REST interface.")
    assert "through REST those over 10,000 bytes are refused" in result.out
    assert not [name for name in tables(gateway) if name.startswith(SCRATCH)]


# ── A database that differs ──────────────────────────────────────────────────────────────────────────────


def cut_errors(length: int) -> Fault:
    """Return the fault that truncates error texts."""

    def fault(exchange: Exchange) -> None:
        answer = exchange.forward()
        if answer.status == 422:
            cut = {"error": answer.content["error"][:length]}
            answer = Answer(422, json.dumps(cut).encode())
        exchange.answer(answer)

    return fault


def run_separately(exchange: Exchange) -> None:
    """Run the statements of a batch one by one, as if D1 had no batches."""
    body = json.loads(exchange.body)
    results: list[Any] = []
    for statement in body.get("batch", []):
        exchange.body = json.dumps({"batch": [statement]}).encode()
        answer = exchange.forward()
        if answer.status != 200:
            exchange.answer(answer)
            return
        results += answer.content["results"]
    exchange.answer(
        Answer(200, json.dumps({"results": results}).encode()) if "batch" in body else exchange.forward()
    )


def through_javascript(exchange: Exchange) -> None:
    """Round an integer beyond 2^53, in rows and in errors."""
    exact, rounded = str(2**53 + 1).encode(), str(2**53).encode()
    answer = exchange.forward()
    exchange.answer(Answer(answer.status, answer.body.replace(exact, rounded)))


@pytest.mark.nightly
def test_truncated_error_texts_are_measured(line: Proxy, gateway: GatewayClient) -> None:
    line.plan(lambda _number: cut_errors(100_000))
    result = selftest("line", json=True)
    assert result.status == 1
    assert result.failed() == ["an error's text may have 1.9 MB"]
    found = json.loads(result.out)
    assert not found["holds"]
    assert 97_000 < found["figures"]["largest_error_text"] < 100_000
    assert "This means: within a block, results that are larger" in result.errors
    assert not [name for name in tables(gateway) if name.startswith(SCRATCH)]


@pytest.mark.nightly
def test_batches_that_are_not_atomic_are_found(line: Proxy) -> None:
    line.plan(lambda _number: run_separately)
    result = selftest("line")
    assert result.status == 1
    assert "a batch is applied all or not at all … FAILED: " in result.out
    assert "COMMIT could leave half of a block: do not use this database." in result.out
    assert "assumptions do not hold." in result.out.splitlines()[-1]


@pytest.mark.nightly
def test_rounded_integers_are_found(line: Proxy) -> None:
    line.plan(lambda _number: through_javascript)
    result = selftest("line", json=True)
    assert result.status == 1
    assert "integers of 64 bits are exact" in result.failed()
    assert "instead of 9007199254740993" in result.out


@pytest.mark.nightly
def test_a_missing_answer_is_a_finding_and_the_tests_continue(line: Proxy) -> None:
    def drop_large(exchange: Exchange) -> None:
        if len(exchange.body) > 5_000_000:
            exchange.hang_up()
        else:
            exchange.answer(exchange.forward())

    line.plan(lambda _number: drop_large)
    result = selftest("line", json=True)
    assert (result.status, result.failed()) == (1, ["a batch of 7 MB is accepted"])


# ── No database ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_wrong_secret_is_reported_with_what_to_do(engine: Engine, d1: DatabaseWrapper) -> None:
    wrong = "0123456789abcdefghijklmnopqrstuvwxyz"
    connections["wrong"] = wrapper(replace(engine, secret=wrong), "test_first", "wrong")
    result = selftest("wrong")
    del connections["wrong"]
    assert result.status == 2
    assert "The D1 gateway refused D1_GATEWAY_SECRET: it must be the same on both sides." in result.errors
    assert wrong not in result.out + result.errors


def test_a_database_that_is_not_bound_is_reported(engine: Engine, d1: DatabaseWrapper) -> None:
    connections["unknown"] = wrapper(engine, "unbound", "unknown")
    result = selftest("unknown")
    del connections["unknown"]
    assert result.status == 2 and "bind it under this name in the Worker" in result.errors


@pytest.mark.parametrize("as_json", [False, True])
def test_an_engine_that_does_not_run_is_reported(line: Proxy, as_json: bool) -> None:
    line.down()
    result = selftest("line", json=as_json)
    line.up()
    assert result.status == 2
    assert "did not answer. D1 cannot be reached at 127.0.0.1" in result.errors
    if as_json:
        found = json.loads(result.out)
        assert not found["holds"] and "D1 cannot be reached" in found["failure"]


@pytest.mark.nightly
def test_an_engine_that_stops_ends_the_run_and_the_next_run_cleans_up(
    line: Proxy, gateway: GatewayClient
) -> None:
    hang_up: Callable[[Exchange], None] = Exchange.hang_up
    line.plan(lambda number: hang_up if number > 40 else None)
    result = selftest("line")
    assert result.status == 2
    assert "may be left over; the next run removes them" in result.errors
    assert [name for name in tables(gateway) if name.startswith(SCRATCH)]
    line.plan({})
    assert selftest("line").status == 0
    assert not [name for name in tables(gateway) if name.startswith(SCRATCH)]


def test_another_kind_of_database_is_refused(tmp_path: Path) -> None:
    settings = connections["default"].settings_dict
    connections["sqlite"] = SQLite({**settings, "NAME": tmp_path / "x.sqlite3", "OPTIONS": {}}, "sqlite")
    result = selftest("sqlite")
    del connections["sqlite"]
    assert result.status == 2
    assert (
        "is SQLite, not Cloudflare D1. Set DATABASE_URL to its d1:// or d1-rest:// address" in result.errors
    )


def test_an_unknown_alias_is_refused() -> None:
    result = selftest("nowhere")
    assert (result.status, result.errors) == (2, "DATABASES has no 'nowhere'.")
