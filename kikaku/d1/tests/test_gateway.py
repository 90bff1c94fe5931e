"""The gateway in front of D1 (`gateway.js`), on Cloudflare's own engine: whom it lets in, what it takes, what it gives."""

import base64
import json
import os
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
from ..testing.engine import GatewayClient, need_engine, running_engine

MARK = "geheim"  # in everything that must not come back or be logged
MEGABYTE = 1024 * 1024
# every word that a refusal of the shape may say
SHAPE_REASONS = {
    "body is not UTF-8",
    "body is not JSON",
    "body must hold either batch or raw",
    "batch must be a list of statements",
    "statement must be [sql, params]",
    "sql is not well-formed Unicode",
    "params must be a list",
    "text parameter is not well-formed Unicode",
    "number parameter is not finite",
    "parameter must be a text, a number or a blob",
    "blob is not base64",
}


@pytest.fixture
def table(gateway: GatewayClient) -> str:
    """Make a table with a unique column `a` and return its name."""
    name = f"t_{uuid.uuid4().hex}"
    gateway.run(f"CREATE TABLE {name} (id integer PRIMARY KEY AUTOINCREMENT, a UNIQUE)")
    return name


# ── Who is let in ────────────────────────────────────────────────────────────────────────────────────────


def test_the_right_secret_opens(gateway: GatewayClient) -> None:
    assert gateway.ask({"batch": [["SELECT 1"]]}) == (
        200,
        {"results": [{"rows": [[1]], "read": 0, "written": 0}]},
    )


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
def test_without_the_secret_nothing_opens(gateway: GatewayClient, authorization: str | None) -> None:
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


def test_a_gateway_without_a_good_secret_lets_nobody_in(tmp_path: Path) -> None:
    """In Node: our engine refuses to start so."""
    calls = tmp_path / "calls.mjs"
    calls.write_text(
        f"""
        import {{ handle }} from {json.dumps(GATEWAY_JS.as_uri())};
        const db = {{ prepare: () => {{ throw new Error("reached"); }}, batch: () => {{}} }};
        const answers = [];
        for (const secret of [undefined, "", "short", "x".repeat(31), 5]) {{
          const headers = {{ Authorization: `Bearer ${{secret}}` }};
          const request = new Request("http://d1.internal/v1/db", {{ method: "POST", headers, body: "{{}}" }});
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
def test_what_is_no_database_is_not_found(gateway: GatewayClient, name: str) -> None:
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


def test_databases_are_apart(gateway: GatewayClient, table: str) -> None:
    answer = gateway.ask({"raw": [f"SELECT * FROM {table}"]}, path="/v1/second")
    assert answer == (422, {"error": f"D1_ERROR: no such table: {table}: SQLITE_ERROR"})


# ── The body ─────────────────────────────────────────────────────────────────────────────────────────────


def padded(size: int) -> bytes:
    """Return a good body of that many bytes."""
    body = b'{"raw": ["SELECT 1"]}'
    return body + b" " * (size - len(body))


def test_a_body_of_eight_megabytes_is_taken_and_a_longer_one_is_not(gateway: GatewayClient) -> None:
    assert gateway.send(padded(8 * MEGABYTE)) == (200, {"columns": ["1"], "rows": [[1]]})
    assert gateway.send(padded(8 * MEGABYTE + 1)) == (413, {"error": "body too large"})


def test_a_much_longer_body_is_refused_before_it_comes(engine: Engine) -> None:
    connection = HTTPConnection(engine.address, timeout=30)
    connection.putrequest("POST", "/v1/first")
    connection.putheader("Authorization", f"Bearer {engine.secret}")
    connection.putheader("Content-Length", str(32 * MEGABYTE + 1))
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, json.load(answer)) == (413, {"error": "body too large"})


def test_a_body_that_tells_no_length_is_counted(engine: Engine) -> None:
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
def test_a_wrong_body_is_told_why(gateway: GatewayClient, body: bytes, reason: str) -> None:
    assert gateway.send(body) == (400, {"error": reason})


def test_nothing_runs_when_a_later_statement_is_malformed(gateway: GatewayClient, table: str) -> None:
    status, _ = gateway.ask({"batch": [[f"INSERT INTO {table} (a) VALUES (1)"], ["SELECT ?", [None]]]})
    assert status == 400
    assert gateway.run(f"SELECT count(*) FROM {table}") == [[[0]]]


texts = st.text(max_size=8).map(lambda text: MARK + text)  # never SQL
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["batch", "raw", "blob", MARK]), inner, max_size=3)
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
def test_whatever_is_sent_the_answer_repeats_nothing_of_it(gateway: GatewayClient, body: Any) -> None:
    status, answer = gateway.ask(body)
    if status == 400:
        assert set(answer) == {"error"} and answer["error"] in SHAPE_REASONS
    else:  # a good shape: SQLite itself says that this is no SQL
        assert status == 422


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=60))
def test_bytes_without_meaning_are_refused(gateway: GatewayClient, body: bytes) -> None:
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
        (2, "real", "322E30"),  # JavaScript knows no integers
        (1.5, "real", "312E35"),
        (-0.1, "real", "2D302E31"),
        ({"blob": ""}, "blob", ""),
        ({"blob": base64.b64encode(bytes(range(256))).decode()}, "blob", bytes(range(256)).hex().upper()),
    ],
)
def test_parameters_arrive_as_what_they_are(
    gateway: GatewayClient, value: Any, kind: str, in_hex: str
) -> None:
    found = gateway.run(["SELECT typeof(?1) AS a, hex(?1) AS b", [value]])
    assert found == [[[kind, in_hex]]]


def test_cells_come_back_as_what_they_are(gateway: GatewayClient) -> None:
    blob = bytes(range(256)) * 300
    sql = "SELECT NULL a, 7 b, 1.5 c, '日本' d, x'' e, ? f"
    row = [None, 7, 1.5, "日本", {"blob": ""}, {"blob": base64.b64encode(blob).decode()}]
    assert gateway.run([sql, [row[-1]]]) == [[row]]
    assert gateway.ask({"raw": [sql, [row[-1]]]}) == (200, {"columns": list("abcdef"), "rows": [row]})


def test_floats_are_bound_and_read_exactly(gateway: GatewayClient) -> None:
    exact = [0.1, 1 / 3, 1e-310, 5e-324, 1.7976931348623157e308, -(2.0**-1022), 123456789.123456789]
    for number in exact:
        assert gateway.run(["SELECT ? a", [number]]) == [[[number]]]


def test_raw_names_columns_twice_and_without_rows(gateway: GatewayClient, table: str) -> None:
    assert gateway.ask({"raw": ["SELECT 1 a, 2 a"]}) == (200, {"columns": ["a", "a"], "rows": [[1, 2]]})
    answer = gateway.ask({"raw": [f"SELECT a, a, id FROM {table}"]})
    assert answer == (200, {"columns": ["a", "a", "id"], "rows": []})


def test_a_batch_needs_names_that_are_its_own_and_no_numbers(gateway: GatewayClient) -> None:
    """D1's batch gives objects: what the backend must know of them."""
    assert gateway.run("SELECT 'x' AS a, 'y' AS a, 'z' AS b, 5") == [[[5, "y", "z"]]]
    assert gateway.ask({"raw": ["SELECT 'x' AS a, 'y' AS a, 'z' AS b, 5"]})[1]["rows"] == [["x", "y", "z", 5]]


def test_a_batch_tells_rows_read_and_written(gateway: GatewayClient, table: str) -> None:
    status, answer = gateway.ask(
        {"batch": [[f"INSERT INTO {table} (a) VALUES (1), (2)"], [f"SELECT id, a FROM {table} ORDER BY id"]]}
    )
    assert status == 200
    written, found = answer["results"]
    assert written["rows"] == [] and written["written"] >= 2
    assert found == {"rows": [[1, 1], [2, 2]], "read": 2, "written": 0}


# ── Atomicity ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_batch_is_all_or_nothing(gateway: GatewayClient, table: str) -> None:
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


def test_statements_joined_in_one_element_are_all_or_nothing_too(gateway: GatewayClient, table: str) -> None:
    joined = "; ".join(f"INSERT INTO {table} (a) VALUES ({number})" for number in (1, 2, 2))
    assert "UNIQUE constraint failed" in gateway.refused(joined)
    assert gateway.run(f"SELECT count(*) FROM {table}") == [[[0]]]
    gateway.run(joined.replace("(2)", "(3)", 1))
    assert gateway.run(f"SELECT a FROM {table} ORDER BY id") == [[[1], [3], [2]]]


def test_parameters_of_joined_statements_belong_to_the_last(gateway: GatewayClient, table: str) -> None:
    gateway.run([f"INSERT INTO {table} (a) VALUES (1); INSERT INTO {table} (a) VALUES (?)", ["last"]])
    assert gateway.run(f"SELECT a FROM {table} ORDER BY id") == [[[1], ["last"]]]


def test_an_aborted_batch_carries_its_rows_in_full_and_changes_nothing(
    gateway: GatewayClient, table: str
) -> None:
    """What the backend's reads within a transaction stand on."""
    gateway.run(
        f"CREATE TABLE {table}_peek (payload)",
        f"CREATE TRIGGER {table}_abort BEFORE INSERT ON {table}_peek BEGIN SELECT RAISE(ABORT, NEW.payload); END",
    )
    peek = f"INSERT INTO {table}_peek (payload) WITH q(c0) AS (SELECT a FROM {table}) SELECT json_group_array(json_array(c0)) FROM q"
    text = gateway.refused([f"INSERT INTO {table} (a) VALUES (?)", ["新: SQLITE_CONSTRAINT\n😀"]], peek)
    payload, _end = json.JSONDecoder().raw_decode(text.removeprefix("D1_ERROR: "))
    assert payload == [["新: SQLITE_CONSTRAINT\n😀"]]
    assert gateway.run(f"SELECT count(*) FROM {table}") == [[[0]]]

    for size in (1_000_000, 2_000_000):
        text = gateway.refused(
            f"INSERT INTO {table}_peek SELECT replace(hex(zeroblob({size // 2})), '0', 'y')"
        )
        assert text.removeprefix("D1_ERROR: ").partition(":")[0] == "y" * size


# ── NoAnswer ──────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_written_when_statements_with_values_fail(gateway: GatewayClient, table: str) -> None:
    before = gateway.engine.output.read_bytes()
    gateway.run(
        f"CREATE TABLE {table}_peek (payload)",
        f"CREATE TRIGGER {table}_abort BEFORE INSERT ON {table}_peek BEGIN SELECT RAISE(ABORT, NEW.payload); END",
        [f"INSERT INTO {table} (a) VALUES (?)", [MARK]],
    )
    failing: list[Any] = [
        [f"INSERT INTO {table} (a) VALUES (?)", [MARK]],
        f"INSERT INTO {table} (a) VALUES ('{MARK}')",
        [f"INSERT INTO {table}_peek VALUES (?)", [MARK * 10_000]],
        f"SELECT '{MARK}' FROM nothing",
        f"SELECT {MARK}",
        ["SELECT ?, ?", [MARK]],
        ["SELECT 1", [MARK]],
        f"-- {MARK}",
        f"BEGIN; SELECT '{MARK}'",
    ]
    for statement in failing:
        gateway.refused(statement)
        status, _ = gateway.ask({"raw": [statement] if isinstance(statement, str) else statement})
        assert status == 422
    gateway.ask({"raw": [MARK, [None]]})
    gateway.ask({"batch": [[f"SELECT '{MARK}'"]]}, path=f"/v1/{MARK}")
    gateway.send(MARK.encode(), headers={"Authorization": f"Bearer {MARK}"})
    time.sleep(0.5)  # what would be written comes from other processes
    assert gateway.engine.output.read_bytes() == before


# ── The engine ───────────────────────────────────────────────────────────────────────────────────────────


def alive(pid: int) -> bool:
    """Whether a process runs (Linux)."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def processes_of(pid: int) -> list[int]:
    """Return a process and its children (Linux)."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def wait_until_gone(pids: list[int]) -> list[int]:
    """Wait up to ten seconds; returns those that still run."""
    for _try in range(200):
        pids = [pid for pid in pids if alive(pid)]
        if not pids:
            break
        time.sleep(0.05)
    return pids


def test_it_keeps_its_data_where_it_is_told_to(tmp_path: Path) -> None:
    with running_engine(["first"], persist=tmp_path) as engine:
        GatewayClient(engine).run("CREATE TABLE kept (a)", "INSERT INTO kept VALUES ('still here')")
    with running_engine(["first"], persist=tmp_path) as engine:
        assert GatewayClient(engine).run("SELECT a FROM kept") == [[["still here"]]]


def test_it_ends_when_the_test_fails() -> None:
    pids: list[int] = []
    with pytest.raises(ZeroDivisionError), running_engine(["first"]) as engine:
        pids = processes_of(engine.pid)
        assert len(pids) > 1
        raise ZeroDivisionError
    assert wait_until_gone(pids) == []
    assert not engine.output.parent.exists()


def test_it_ends_when_whoever_started_it_is_killed(engine: Engine) -> None:
    code = (
        f"import sys, time; sys.path[:0] = {sys.path!r}; from {Engine.__module__} import temporary_engine\n"
        "with temporary_engine(['first']) as engine:\n    print(engine.pid, flush=True)\n    time.sleep(60)"
    )
    starter = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert starter.stdout is not None
        pids = processes_of(int(starter.stdout.readline()))
        assert len(pids) > 1
    finally:
        starter.kill()
        starter.wait()
    assert wait_until_gone(pids) == []


def test_it_listens_on_this_machine_alone(engine: Engine) -> None:
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
