"""The gateway in front of D1 (`gateway.js`), on Cloudflare's engine: authorization, requests, answers."""

import base64
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ..engine import FOLDER, GATEWAY_JS, Engine, node_and_npm
from ..testing.engine import GatewayClient, connect, need_engine, running_engine

SECRET_WORD = "geheim"  # in everything that must not be repeated or logged
MEGABYTE = 1024 * 1024
# every error text for a malformed body
SHAPE_REASONS = {
    "body is not UTF-8",
    "body is not JSON",
    "body must hold either batch or raw",
    "batch must be a list of statements",
    "statement must be [sql, params]",
    "sql is not well-formed Unicode",
    "params must be a list",
    "more than 100 parameters",
    "text parameter is not well-formed Unicode",
    "number parameter is not finite",
    "parameter must be a text, a number or a blob",
    "blob is not base64",
}


@pytest.fixture
def table(gateway: GatewayClient) -> str:
    """Create a table with a unique column `a` and return its name."""
    name = f"t_{uuid.uuid4().hex}"
    gateway.run(f"CREATE TABLE {name} (id integer PRIMARY KEY AUTOINCREMENT, a UNIQUE)")
    return name


# ── Authorization ────────────────────────────────────────────────────────────────────────────────────────


def test_the_right_secret_is_accepted(gateway: GatewayClient) -> None:
    status, answer = gateway.ask({"batch": [["SELECT 1"]]})
    assert (status, answer["results"]) == (200, [{"rows": [[1]], "read": 0, "written": 0}])


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer {wrong}",
        "Bearer {right}x",
        "bearer {right}",
        "{right}",
        "Basic {right}",
    ],
)
def test_any_other_authorization_is_refused(gateway: GatewayClient, authorization: str | None) -> None:
    right = gateway.engine.secret
    headers = (
        {}
        if authorization is None
        else {
            "Authorization": authorization.format(
                right=right, wrong=right[:-1] + ("a" if right[-1] != "a" else "b")
            )
        }
    )
    for path in ("/v1/first", "/v1/nothing", "/", "/v2/first"):
        answer = gateway.ask({"batch": [["SELECT 1"]]}, path=path, headers=headers)
        assert answer == (401, {"error": "wrong or missing secret"})


def test_a_gateway_without_a_good_secret_refuses_every_request(tmp_path: Path) -> None:
    """Run in Node, because the engine refuses to start this way."""
    calls = tmp_path / "calls.mjs"
    calls.write_text(
        f"""
        import {{ handle }} from {json.dumps(GATEWAY_JS.as_uri())};
        const db = {{ prepare: () => {{ throw new Error("reached"); }}, batch: () => {{}} }};
        const answers = [];
        for (const secret of [undefined, "", "short", "x".repeat(31), 5]) {{
          const headers = {{ Authorization: `Bearer ${{secret}}` }};
          const options = {{ method: "POST", headers, body: "{{}}" }};
          const request = new Request("http://d1.internal/v1/db", options);
          const answer = await handle(request, {{ db, D1_GATEWAY_SECRET: secret }});
          answers.push([answer.status, await answer.json()]);
        }}
        console.log(JSON.stringify(answers));
        """
    )
    need_engine()
    node, _npm = node_and_npm()
    done = subprocess.run([node, str(calls)], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == [[500, {"error": "not configured"}]] * 5


def test_the_engine_does_not_start_with_a_weak_secret(engine: Engine) -> None:
    node, _npm = node_and_npm()
    done = subprocess.run(
        [node, str(FOLDER / "engine.mjs"), "--port", "0", "--databases", "first"],
        env={**os.environ, "D1_GATEWAY_SECRET": "short"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "D1_GATEWAY_SECRET must be 32 random characters or more." in done.stderr


# ── Addresses ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name", ["third", "D1_GATEWAY_SECRET", "constructor", "__proto__", "toString", "hasOwnProperty"]
)
def test_a_binding_that_is_no_database_is_not_found(gateway: GatewayClient, name: str) -> None:
    answer = gateway.ask({"batch": [["SELECT 1"]]}, path=f"/v1/{name}")
    assert answer == (404, {"error": "no such database"})


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v1/", "/v1/first/", "/v1/first/x", "/v2/first", "/first", "/v1/fi%72st", "/v1/first;x"],
)
def test_other_paths_are_not_found(gateway: GatewayClient, path: str) -> None:
    assert gateway.ask({"batch": [["SELECT 1"]]}, path=path) == (404, {"error": "no such path"})


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_refused(gateway: GatewayClient, method: str) -> None:
    answer = gateway.send(b"" if method == "GET" else b"{}", method=method)
    assert answer == (405, {"error": "only POST"})


def test_databases_are_separate(gateway: GatewayClient, table: str) -> None:
    answer = gateway.ask({"raw": [f"SELECT * FROM {table}"]}, path="/v1/second")
    assert answer == (422, {"error": f"D1_ERROR: no such table: {table}: SQLITE_ERROR"})


# ── The body ─────────────────────────────────────────────────────────────────────────────────────────────


def padded(size: int) -> bytes:
    """Return a valid body of that many bytes."""
    body = b'{"raw": ["SELECT 1"]}'
    return body + b" " * (size - len(body))


def test_a_body_of_eight_megabytes_is_accepted_and_a_longer_one_is_not(gateway: GatewayClient) -> None:
    assert gateway.send(padded(8 * MEGABYTE)) == (200, {"columns": ["1"], "rows": [[1]]})
    assert gateway.send(padded(8 * MEGABYTE + 1)) == (413, {"error": "body too large"})


def test_a_much_longer_body_is_refused_before_it_is_read(engine: Engine) -> None:
    connection = HTTPConnection(engine.address, timeout=30)
    connection.putrequest("POST", "/v1/first")
    connection.putheader("Authorization", f"Bearer {engine.secret}")
    connection.putheader("Content-Length", str(32 * MEGABYTE + 1))
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, json.load(answer)) == (413, {"error": "body too large"})


def test_a_body_without_a_length_is_counted(engine: Engine) -> None:
    headers = {"Authorization": f"Bearer {engine.secret}"}
    for size, expected in ((8 * MEGABYTE, 200), (8 * MEGABYTE + 1, 413), (32 * MEGABYTE, 413)):
        body = padded(size)
        connection = HTTPConnection(engine.address, timeout=30)
        pieces = (body[start : start + MEGABYTE] for start in range(0, size, MEGABYTE))
        connection.request("POST", "/v1/first", body=pieces, headers=headers, encode_chunked=True)
        assert connection.getresponse().status == expected


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "body is not JSON"),
        (b"{", "body is not JSON"),
        (b"\xff", "body is not UTF-8"),
        (b'{"raw": ["SELECT \'\xe6\x97\'"]}', "body is not UTF-8"),
        (b"\xef\xbb\xbf{}", "body is not JSON"),  # a byte order mark
        (b"null", "body must hold either batch or raw"),
        (b"[]", "body must hold either batch or raw"),
        (b"{}", "body must hold either batch or raw"),
        (b'{"batch": [["SELECT 1"]], "raw": ["SELECT 1"]}', "body must hold either batch or raw"),
        (b'{"batch": [["SELECT 1"]], "other": 1}', "body must hold either batch or raw"),
        (b'{"batch": []}', "batch must be a list of statements"),
        (b'{"batch": {"0": ["SELECT 1"]}}', "batch must be a list of statements"),
        (b'{"batch": ["SELECT 1"]}', "statement must be [sql, params]"),
        (b'{"batch": [[]]}', "statement must be [sql, params]"),
        (b'{"batch": [[1]]}', "statement must be [sql, params]"),
        (b'{"batch": [["SELECT 1", [], []]]}', "statement must be [sql, params]"),
        (b'{"batch": [["SELECT 1"], null]}', "statement must be [sql, params]"),
        (b'{"raw": "SELECT 1"}', "statement must be [sql, params]"),
        (b'{"raw": ["SELECT ?", {"0": 1}]}', "params must be a list"),
        (b'{"raw": ["SELECT ?", null]}', "params must be a list"),
        (b'{"raw": ["SELECT \\ud800"]}', "sql is not well-formed Unicode"),
        (b'{"raw": ["SELECT ?", ["\\ud800"]]}', "text parameter is not well-formed Unicode"),
        (b'{"raw": ["SELECT ?", [1e999]]}', "number parameter is not finite"),
        (b'{"raw": ["SELECT ?", [null]]}', "parameter must be a text, a number or a blob"),
        (b'{"raw": ["SELECT ?", [true]]}', "parameter must be a text, a number or a blob"),
        (b'{"raw": ["SELECT ?", [[1]]]}', "parameter must be a text, a number or a blob"),
        (b'{"raw": ["SELECT ?", [{"blob": 1}]]}', "parameter must be a text, a number or a blob"),
        (
            b'{"raw": ["SELECT ?", [{"blob": "AA==", "x": 1}]]}',
            "parameter must be a text, a number or a blob",
        ),
        (b'{"raw": ["SELECT ?", [{"blob": "*"}]]}', "blob is not base64"),
    ],
)
def test_a_wrong_body_is_refused_with_the_reason(gateway: GatewayClient, body: bytes, reason: str) -> None:
    assert gateway.send(body) == (400, {"error": reason})


def test_nothing_runs_when_a_later_statement_is_malformed(gateway: GatewayClient, table: str) -> None:
    status, _ = gateway.ask({"batch": [[f"INSERT INTO {table} (a) VALUES (1)"], ["SELECT ?", [None]]]})
    assert status == 400
    assert gateway.run(f"SELECT count(*) FROM {table}") == [[[0]]]


texts = st.text(max_size=8).map(lambda text: SECRET_WORD + text)  # never SQL
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["batch", "raw", "blob", SECRET_WORD]), inner, max_size=3)
    ),
    max_leaves=12,
)
statements = values | st.tuples(texts, st.lists(values, max_size=3))
bodies = (
    values
    | st.fixed_dictionaries({"raw": statements})
    | st.fixed_dictionaries({"batch": values | st.lists(statements, max_size=3)})
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=bodies)
def test_an_answer_repeats_nothing_of_the_request(gateway: GatewayClient, body: Any) -> None:
    status, answer = gateway.ask(body)
    if status == 400:
        assert set(answer) == {"error"} and answer["error"] in SHAPE_REASONS
    else:  # well-formed: SQLite itself refuses it as no SQL
        assert status == 422


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=60))
def test_random_bytes_are_refused(gateway: GatewayClient, body: bytes) -> None:
    status, answer = gateway.send(body)
    assert status == 400 and answer["error"] in SHAPE_REASONS


# ── Values ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("value", "kind", "in_hex"),
    [
        ("", "text", ""),
        ("日本", "text", "E697A5E69CAC"),
        ("a\0b", "text", "610062"),
        ("😀", "text", "F09F9880"),
        ("\ufeff\u2028", "text", "EFBBBFE280A8"),
        (2, "real", "322E30"),  # JavaScript has no integers
        (1.5, "real", "312E35"),
        (-0.1, "real", "2D302E31"),
        ({"blob": ""}, "blob", ""),
        ({"blob": base64.b64encode(bytes(range(256))).decode()}, "blob", bytes(range(256)).hex().upper()),
    ],
)
def test_parameters_arrive_with_their_types(
    gateway: GatewayClient, value: Any, kind: str, in_hex: str
) -> None:
    found = gateway.run(["SELECT typeof(?1) AS a, hex(?1) AS b", [value]])
    assert found == [[[kind, in_hex]]]


def test_cells_are_returned_with_their_types(gateway: GatewayClient) -> None:
    blob = bytes(range(256)) * 300
    sql = "SELECT NULL a, 7 b, 1.5 c, '日本' d, x'' e, ? f"
    row = [None, 7, 1.5, "日本", {"blob": ""}, {"blob": base64.b64encode(blob).decode()}]
    assert gateway.run([sql, [row[-1]]]) == [[row]]
    assert gateway.ask({"raw": [sql, [row[-1]]]}) == (200, {"columns": list("abcdef"), "rows": [row]})


def test_floats_are_bound_and_read_exactly(gateway: GatewayClient) -> None:
    exact = [0.1, 1 / 3, 1e-310, 5e-324, 1.7976931348623157e308, -(2.0**-1022), 123456789.123456789]
    for number in exact:
        assert gateway.run(["SELECT ? a", [number]]) == [[[number]]]


def test_raw_returns_equal_column_names_also_without_rows(gateway: GatewayClient, table: str) -> None:
    assert gateway.ask({"raw": ["SELECT 1 a, 2 a"]}) == (200, {"columns": ["a", "a"], "rows": [[1, 2]]})
    answer = gateway.ask({"raw": [f"SELECT a, a, id FROM {table}"]})
    assert answer == (200, {"columns": ["a", "a", "id"], "rows": []})


def test_a_batch_needs_unique_column_names_that_are_no_numbers(gateway: GatewayClient) -> None:
    """D1's batch returns objects; the backend relies on how."""
    assert gateway.run("SELECT 'x' AS a, 'y' AS a, 'z' AS b, 5") == [[[5, "y", "z"]]]
    assert gateway.ask({"raw": ["SELECT 'x' AS a, 'y' AS a, 'z' AS b, 5"]})[1]["rows"] == [["x", "y", "z", 5]]


def test_a_batch_reports_rows_read_and_written(gateway: GatewayClient, table: str) -> None:
    status, answer = gateway.ask(
        {"batch": [[f"INSERT INTO {table} (a) VALUES (1), (2)"], [f"SELECT id, a FROM {table} ORDER BY id"]]}
    )
    assert status == 200
    written, found = answer["results"]
    assert written["rows"] == [] and written["written"] >= 2
    assert found == {"rows": [[1, 1], [2, 2]], "read": 2, "written": 0}


def test_a_batch_reports_the_size_of_the_database(gateway: GatewayClient, table: str) -> None:
    def size() -> int:
        return int(gateway.ask({"batch": [["SELECT 1 AS a"]]})[1]["size"])

    before = size()
    gateway.run(f"CREATE TABLE {table}_large (a)", f"INSERT INTO {table}_large VALUES (zeroblob(1000000))")
    assert 1_000_000 <= size() - before < 1_100_000
    gateway.run(f"DROP TABLE {table}_large")


# ── Atomicity ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_batch_is_atomic(gateway: GatewayClient, table: str) -> None:
    gateway.run(f"INSERT INTO {table} (a) VALUES (1)")
    text = gateway.refused(
        f"INSERT INTO {table} (a) VALUES (2)",
        f"UPDATE {table} SET a = 10 WHERE a = 1",
        f"CREATE TABLE {table}_more (b)",
        f"INSERT INTO {table} (a) VALUES (10)",
    )
    assert text.startswith(f"D1_ERROR: UNIQUE constraint failed: {table}.a: SQLITE_CONSTRAINT")
    assert gateway.run(f"SELECT id, a FROM {table}") == [[[1, 1]]]
    assert "no such table" in gateway.refused(f"SELECT * FROM {table}_more")


def test_statements_joined_in_one_element_are_atomic(gateway: GatewayClient, table: str) -> None:
    joined = "; ".join(f"INSERT INTO {table} (a) VALUES ({number})" for number in (1, 2, 2))
    assert "UNIQUE constraint failed" in gateway.refused(joined)
    assert gateway.run(f"SELECT count(*) FROM {table}") == [[[0]]]
    gateway.run(joined.replace("(2)", "(3)", 1))
    assert gateway.run(f"SELECT a FROM {table} ORDER BY id") == [[[1], [3], [2]]]


def test_parameters_of_joined_statements_belong_to_the_last(gateway: GatewayClient, table: str) -> None:
    gateway.run([f"INSERT INTO {table} (a) VALUES (1); INSERT INTO {table} (a) VALUES (?)", ["last"]])
    assert gateway.run(f"SELECT a FROM {table} ORDER BY id") == [[[1], ["last"]]]


def test_an_aborted_batch_carries_its_rows_completely_and_changes_nothing(
    gateway: GatewayClient, table: str
) -> None:
    """The backend's reads within a transaction rely on this."""
    gateway.run(
        f"CREATE TABLE {table}_probe (payload)",
        f"CREATE TRIGGER {table}_abort BEFORE INSERT ON {table}_probe BEGIN SELECT RAISE(ABORT, "
        "NEW.payload); END",
    )
    probe = (
        f"INSERT INTO {table}_probe (payload) WITH q(c0) AS (SELECT a FROM {table}) "
        "SELECT json_group_array(json_array(c0)) FROM q"
    )
    text = gateway.refused([f"INSERT INTO {table} (a) VALUES (?)", ["新: SQLITE_CONSTRAINT\n😀"]], probe)
    payload, _end = json.JSONDecoder().raw_decode(text.removeprefix("D1_ERROR: "))
    assert payload == [["新: SQLITE_CONSTRAINT\n😀"]]
    assert gateway.run(f"SELECT count(*) FROM {table}") == [[[0]]]

    for size in (1_000_000, 2_000_000):
        text = gateway.refused(
            f"INSERT INTO {table}_probe SELECT replace(hex(zeroblob({size // 2})), '0', 'y')"
        )
        assert text.removeprefix("D1_ERROR: ").partition(":")[0] == "y" * size


# ── Logs ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_logged_when_statements_fail() -> None:
    with running_engine(["first"]) as engine:
        before = engine.output.read_bytes()
        let_statements_fail(GatewayClient(engine), "logs")
        processes = processes_of(engine.pid)
        os.kill(engine.pid, signal.SIGTERM)
        assert wait_until_gone(processes) == []  # then the file has all that they wrote
        assert engine.output.read_bytes() == before


def let_statements_fail(gateway: GatewayClient, table: str) -> None:
    """Let every part of the gateway and of D1 report an error about the secret word."""
    gateway.run(
        f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, a UNIQUE)",
        f"CREATE TABLE {table}_probe (payload)",
        f"CREATE TRIGGER {table}_abort BEFORE INSERT ON {table}_probe BEGIN SELECT RAISE(ABORT, "
        "NEW.payload); END",
        [f"INSERT INTO {table} (a) VALUES (?)", [SECRET_WORD]],
    )
    failing: list[Any] = [
        [f"INSERT INTO {table} (a) VALUES (?)", [SECRET_WORD]],
        f"INSERT INTO {table} (a) VALUES ('{SECRET_WORD}')",
        [f"INSERT INTO {table}_probe VALUES (?)", [SECRET_WORD * 10_000]],
        f"SELECT '{SECRET_WORD}' FROM nothing",
        f"SELECT {SECRET_WORD}",
        ["SELECT ?, ?", [SECRET_WORD]],
        ["SELECT 1", [SECRET_WORD]],
        f"-- {SECRET_WORD}",
        f"BEGIN; SELECT '{SECRET_WORD}'",
    ]
    for statement in failing:
        gateway.refused(statement)
        status, _ = gateway.ask({"raw": [statement] if isinstance(statement, str) else statement})
        assert status == 422
    gateway.ask({"raw": [SECRET_WORD, [None]]})
    gateway.ask({"batch": [[f"SELECT '{SECRET_WORD}'"]]}, path=f"/v1/{SECRET_WORD}")
    gateway.send(SECRET_WORD.encode(), headers={"Authorization": f"Bearer {SECRET_WORD}"})


# ── What Django reports ──────────────────────────────────────────────────────────────────────────────────

SERVER = f"""
import {{ createServer }} from "node:http";
import {{ handle }} from {json.dumps(GATEWAY_JS.as_uri())};
const server = createServer(async (incoming, outgoing) => {{
  const options = {{ method: "POST", headers: incoming.headers, body: "{{}}" }};
  const request = new Request("http://d1.internal" + incoming.url, options);
  const answer = await handle(request, JSON.parse(process.argv[2]));
  outgoing.writeHead(answer.status, {{ "Content-Type": "application/json" }});
  outgoing.end(await answer.text());
}});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"""


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        (None, "has no D1_GATEWAY_SECRET.*wrangler secret put"),
        ("short", "less than 32 characters"),
        ("another secret of more than 32 characters", "must be the same on both sides"),
        ("s" * 40 + "\n", "end with a line break"),
    ],
)
def test_a_worker_with_a_missing_or_wrong_secret_is_reported_at_once(
    tmp_path: Path, secret: str | None, reason: str
) -> None:
    need_engine()
    node, _npm = node_and_npm()
    (tmp_path / "server.mjs").write_text(SERVER)
    environment = {} if secret is None else {"D1_GATEWAY_SECRET": secret}
    with subprocess.Popen(
        [node, str(tmp_path / "server.mjs"), json.dumps(environment)], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            wrapper = connect(f"d1://127.0.0.1:{int(server.stdout.readline())}/DB", "s" * 40)
            connection = wrapper.get_new_connection(wrapper.get_connection_params())
            with pytest.raises(sqlite3.OperationalError, match=reason) as caught:
                connection.cursor().execute("SELECT 1", None)
            assert connection.transport.round_trips == 1  # the reason is known: no second try
            assert "s" * 32 not in str(caught.value)
        finally:
            server.kill()


@pytest.mark.parametrize("count", [101, 300_000])
def test_more_parameters_than_d1_binds_are_refused(gateway: GatewayClient, count: int) -> None:
    for statement in (["SELECT 1", ["x"] * count], ["SELECT ?", [1.5] * count]):
        for body in ({"batch": [statement]}, {"raw": statement}):
            assert gateway.ask(body) == (400, {"error": "more than 100 parameters"})


# ── The engine ───────────────────────────────────────────────────────────────────────────────────────────


def is_alive(pid: int) -> bool:
    """Return whether a process runs (Linux)."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def processes_of(pid: int) -> list[int]:
    """Return the ids of a process and its children (Linux)."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def wait_until_gone(pids: list[int]) -> list[int]:
    """Wait up to ten seconds, and return the processes that still run."""
    for _try in range(200):
        pids = [pid for pid in pids if is_alive(pid)]
        if not pids:
            break
        time.sleep(0.05)
    return pids


def test_data_persists_in_a_folder(tmp_path: Path) -> None:
    with running_engine(["first"], persist=tmp_path) as engine:
        GatewayClient(engine).run("CREATE TABLE kept (a)", "INSERT INTO kept VALUES ('still here')")
    with running_engine(["first"], persist=tmp_path) as engine:
        assert GatewayClient(engine).run("SELECT a FROM kept") == [[["still here"]]]


def test_the_engine_ends_when_the_test_fails() -> None:
    pids: list[int] = []
    with pytest.raises(ZeroDivisionError), running_engine(["first"]) as engine:
        pids = processes_of(engine.pid)
        assert len(pids) > 1
        raise ZeroDivisionError
    assert wait_until_gone(pids) == []
    assert not engine.output.parent.exists()


def test_the_engine_ends_when_its_parent_is_killed(engine: Engine) -> None:
    code = (
        f"import sys, time; sys.path[:0] = {sys.path!r}; from {Engine.__module__} import temporary_engine\n"
        "with temporary_engine(['first']) as engine:\n    print(engine.pid, flush=True)\n    time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        pids = processes_of(int(parent.stdout.readline()))
        assert len(pids) > 1
    finally:
        parent.kill()
        parent.wait()
    assert wait_until_gone(pids) == []


def test_the_engine_listens_on_this_machine_only(engine: Engine) -> None:
    assert engine.address.startswith("127.0.0.1:")
    inodes = {
        str(link.readlink()).removeprefix("socket:[").removesuffix("]")
        for pid in processes_of(engine.pid)
        for link in (Path("/proc") / str(pid) / "fd").iterdir()
        if str(link.readlink()).startswith("socket:[")
    }
    listening: set[str] = set()
    for table in ("tcp", "tcp6"):
        for line in (Path("/proc/net") / table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                listening.add(fields[1].partition(":")[0])
    assert listening == {"0100007F"}
