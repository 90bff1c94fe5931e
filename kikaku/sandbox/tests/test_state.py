"""The state file: kept over restarts, shared by processes, and open to a demo history in the past."""

import ast
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import stripe
from pytest_httpserver import HTTPServer

from kikaku.sandbox import ClockInUse, Sandbox, SessionNotOpen, StateFileTooOld, exclusive_clock, shared_clock
from kikaku.sandbox.testing.build import Clock, event_types, in_process, new_session, paid

ROOT = Path(__file__).parents[3]


def test_everything_survives_a_restart(client: stripe.StripeClient, sandbox: Sandbox, clock: Clock) -> None:
    open_one = new_session(client)
    charge = paid(client, sandbox, card="4000000000007726", payment_intent_data={})
    client.v1.refunds.create({"charge": charge.id, "amount": 10}, {"idempotency_key": "k"})
    pending = [delivery.event_id for delivery in sandbox.pending_deliveries()]
    sandbox.close()

    again = Sandbox(sandbox.state_path, clock=clock)
    client = in_process(again)
    assert [delivery.event_id for delivery in again.pending_deliveries()] == pending
    client.v1.refunds.create({"charge": charge.id, "amount": 10}, {"idempotency_key": "k"})
    assert len(client.v1.refunds.list().data) == 1
    clock.forward(60)
    assert client.v1.refunds.list().data[0].status == "succeeded"
    assert client.v1.charges.retrieve(charge.id).balance_transaction is not None
    assert again.pay(open_one.id).outcome == "succeeded"
    again.close()


def test_the_folder_of_the_state_file_is_created(tmp_path: Path) -> None:
    Sandbox(tmp_path / "deep" / "down" / "state").close()
    assert (tmp_path / "deep" / "down" / "state").exists()


def test_a_file_of_another_version_is_refused_and_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "state"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE kept (x)")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StateFileTooOld, match="delete it"):
        Sandbox(path)
    assert sqlite3.connect(path).execute("SELECT name FROM sqlite_master").fetchall() == [("kept",)]


_PAY = """
import sys
from pathlib import Path
from kikaku.sandbox import Sandbox
sandbox = Sandbox(Path(sys.argv[1]))
sys.stdout.write("ready\\n"); sys.stdout.flush(); sys.stdin.readline()
for session in sys.argv[2:]:
    assert sandbox.pay(session).outcome == "succeeded"
"""


def test_two_processes_pay_on_one_file_at_once(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "stripe.sqlite3")
    client = in_process(sandbox)
    sessions = [new_session(client, 1_000).id for _ in range(20)]
    halves = [sessions[:10], sessions[10:]]
    both = [
        subprocess.Popen(
            [sys.executable, "-c", _PAY, str(sandbox.state_path), *half],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for half in halves
    ]
    for process in both:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    for process in both:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        process.stdout.close()
    balance = client.v1.balance.retrieve()
    assert balance.pending[0].amount == 20 * (1_000 - 36)
    assert len(client.v1.events.list({"limit": 100}).data) == 80
    sandbox.close()


def test_processes_that_start_together_create_one_file(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\nfrom kikaku.sandbox import Sandbox\nSandbox(Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "state")]
    started = [subprocess.Popen(command, cwd=ROOT) for _ in range(4)]
    assert [process.wait(timeout=60) for process in started] == [0, 0, 0, 0]


def test_a_running_server_lets_a_history_be_written(tmp_path: Path) -> None:
    served = Sandbox(tmp_path / "state")
    five_days_ago = Clock(time.time() - 5 * 86_400)
    historian = Sandbox(tmp_path / "state", clock=five_days_ago)
    client = in_process(historian)
    with historian.exclusive_clock():
        session = new_session(client, expires_at=int(five_days_ago.now) + 2_100)
        assert served.expire_due() == 0, (
            "by the server's clock it has expired, but the history holds the clock"
        )
        assert in_process(served).v1.checkout.sessions.retrieve(session.id).status == "open"
        five_days_ago.forward(120)
        result = historian.pay(session.id)
    assert result.outcome == "succeeded" and result.charge is not None
    charge = in_process(served).v1.charges.retrieve(result.charge, {"expand": ["balance_transaction"]})
    assert isinstance(charge.balance_transaction, stripe.BalanceTransaction)
    assert charge.created == charge.balance_transaction.created == int(five_days_ago.now)
    assert in_process(served).v1.balance.retrieve().available[0].amount == 12_130 - 437
    abandoned = new_session(client, expires_at=int(five_days_ago.now) + 2_100)
    five_days_ago.forward(3_000)
    assert historian.expire_due() == 1
    with pytest.raises(SessionNotOpen):
        served.pay(abandoned.id)
    assert event_types(client)[-1] == "checkout.session.expired"
    served.close()
    historian.close()


def test_events_are_not_delivered_while_a_history_is_being_written(
    tmp_path: Path, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/webhook").respond_with_data("ok")
    served = Sandbox(tmp_path / "state", webhook_url=httpserver.url_for("/webhook"))
    historian = Sandbox(tmp_path / "state")
    with historian.exclusive_clock():
        historian.pay(new_session(in_process(historian)).id)
        assert served.deliver_due() == 0 and historian.pending_deliveries()
        with pytest.raises(ClockInUse), exclusive_clock(tmp_path / "state", patience=0):
            pytest.fail("two hold the clock")
    assert served.deliver_due() > 0 and not historian.pending_deliveries()
    served.close()
    historian.close()


def test_an_exclusive_clock_waits_for_those_who_share_it(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with exclusive_clock(state):
        pass
    with shared_clock(state) as is_free:
        assert is_free
        with pytest.raises(ClockInUse), exclusive_clock(state, patience=0.1):
            pytest.fail("the clock is in use")
    with exclusive_clock(state), shared_clock(state) as is_free:
        assert not is_free


def test_a_locked_file_is_a_lock_timeout(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "state", lock_timeout=0.05)
    client = in_process(sandbox)
    other = sqlite3.connect(tmp_path / "state", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(stripe.RateLimitError) as refused:
        new_session(client)
    assert refused.value.http_status == 429 and "lock_timeout" in str(refused.value.json_body)
    assert client.v1.balance.retrieve().pending[0].amount == 0, "reads still work"
    other.execute("ROLLBACK")
    other.close()
    assert new_session(client).status == "open"
    sandbox.close()


def test_an_internal_error_shows_no_details(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    charge = paid(client, sandbox)
    db = sqlite3.connect(sandbox.state_path)
    db.execute("UPDATE objects SET private = '{broken' WHERE id = ?", (charge.id,))
    db.commit()
    db.close()
    with pytest.raises(stripe.APIError) as failed:
        client.v1.refunds.create({"charge": charge.id})
    assert failed.value.http_status == 500 and "json" not in str(failed.value.http_body).lower()


def test_the_stand_in_imports_only_the_standard_library() -> None:
    package = Path(__file__).parents[1]
    apart = {"openapi", "adapter"}  # the tests' contract and Django's adapter: no other module imports them
    for module in package.glob("*.py"):
        if module.stem in apart:
            continue
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            else:
                continue
            for name in names:
                own = name.startswith("kikaku.sandbox") and apart.isdisjoint(name.split("."))
                assert own or name.split(".")[0] in sys.stdlib_module_names, f"{module.name} imports {name}"
