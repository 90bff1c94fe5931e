"""`make run`: a clear error when it cannot start, and no process left when it ends."""

import os
import runpy
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from dotenv import dotenv_values

from kikaku.testing.ports import find_free_ports
from ops.testing.running import ROOT, RunningShop, wait_until_gone

pytestmark = pytest.mark.xdist_group("make run")  # groups run first: these tests take long


def test_a_taken_port_is_reported_with_a_way_out(tmp_path: Path) -> None:
    port = find_free_ports()
    for taken in (port, port + 1):
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", taken))
            other.listen()
            shop = RunningShop(tmp_path, port=port)
            assert shop.process.wait(timeout=30) == 1
            shop.wait_for_end()
            assert f"Port {taken}" in shop.output() and f"make run PORT={port + 10}" in shop.output()


def test_a_wrong_setting_is_reported_by_name(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "run.py")],
        env={
            **os.environ,
            "ENVIRONMENT": "development",
            "PORT": str(find_free_ports()),
            "DATABASE_URL": "mysql://localhost/shop",
            "DJANGO_SETTINGS_MODULE": "ops.testing.settings",
            "KIKAKU_TEST_ROOT": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "DATABASE_URL" in done.stderr and "Traceback" not in done.stderr


SLOW_STAND_IN = 'import sys, time\nif "stripe_sandbox" in sys.orig_argv:\n    time.sleep(3)\n'


def test_it_starts_three_processes_and_ends_them_all_on_sigterm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW_STAND_IN)  # Python runs it at its start
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    shop = RunningShop(tmp_path)
    try:
        shop.wait_until_ready()
        shop.wait_for("worker is running", seconds=30)
        assert "webhooks to" in shop.output().partition("worker is running")[0]  # the worker asks at once
        children = shop.children()
        assert len(children) >= 3
        login = (tmp_path / "staff-login.txt").stat()
        assert login.st_mode & 0o777 == 0o600
        assert shop.login()[1] in shop.output()
        assert shop.stop(signal.SIGTERM) == 0
        assert wait_until_gone(children) == []
    finally:
        shop.stop(signal.SIGKILL)


@pytest.mark.parametrize("end", ["the terminal is closed", "run.py is killed"])
def test_it_leaves_no_process_however_it_ends(tmp_path: Path, end: str) -> None:
    shop = RunningShop(tmp_path, terminal=end == "the terminal is closed")
    started: list[int] = []
    try:
        shop.wait_until_ready()
        shop.wait_for("worker is running", seconds=30)
        started = shop.children()
        assert len(started) >= 6  # web and worker have children of their own
        os.kill(shop.process.pid, signal.SIGKILL)
        assert wait_until_gone(started) == []
    finally:
        shop.stop(signal.SIGKILL)
        for pid in started:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.nightly
def test_when_a_child_dies_the_others_end_and_the_reason_is_printed(tmp_path: Path) -> None:
    shop = RunningShop(tmp_path)
    try:
        shop.wait_until_ready()
        children = shop.children()
        stand_in = next(
            pid
            for pid in children
            if b"stripe_sandbox" in (Path("/proc") / str(pid) / "cmdline").read_bytes()
        )
        os.kill(stand_in, signal.SIGKILL)
        assert shop.process.wait(timeout=30) == 1
        shop.wait_for_end()
        assert "stripe ended" in shop.output()
        assert wait_until_gone(children) == []
    finally:
        shop.stop(signal.SIGKILL)


def test_an_old_python_gets_an_error_that_names_the_version_needed(tmp_path: Path) -> None:
    bootstrap_on_old_python = (
        "import runpy, sys; sys.version_info = (3, 9, 2, 'final', 0); "
        f"runpy.run_path({str(ROOT / 'scripts' / 'bootstrap.py')!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", bootstrap_on_old_python],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr and "is 3.9" in done.stderr


@pytest.mark.nightly
def test_a_missing_network_is_reported_and_the_installation_is_not_marked_as_done(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "bootstrap.py").write_text((ROOT / "scripts" / "bootstrap.py").read_text())
    (tmp_path / "requirements.txt").write_text(f"django==5.2.19 --hash=sha256:{'0' * 64}\n")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    done = subprocess.run(
        [sys.executable, str(tmp_path / "scripts" / "bootstrap.py")],
        env={
            **environment,
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": f"http://127.0.0.1:{port}/simple",
            "PIP_RETRIES": "0",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "could not be installed" in done.stderr and "No network" in done.stderr
    assert not list((tmp_path / ".venv").glob("installed-*"))


def test_another_port_stands_in_env_for_the_second_terminal_until_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "run.py"))
    file = tmp_path / ".env"

    def start(port: str, *, may_write: bool = True) -> dict[str, str]:
        monkeypatch.setenv("PORT", port)
        script["prepare_dotenv"](file, may_write=may_write)
        found = script["port_variables"](file)
        variables = {script["PORT_BLOCK"]: found} if found else {}
        exports: dict[str, str] = script["tell_second_terminal"](file, variables, may_write=may_write)
        return exports

    for port in ("9000", "9010"):
        assert start(port) == {}
        assert dotenv_values(file) == {"ENVIRONMENT": "development", "PORT": port}
    start("")
    assert file.read_text() == script["DOTENV"]
    file.write_text("ENVIRONMENT=development\nPORT=9000\n")  # the user's own
    assert start("9010") == {"PORT": "9010"}
    assert start("9000") == {}
    assert file.read_text() == "ENVIRONMENT=development\nPORT=9000\n"


@pytest.mark.parametrize("block", ["PORT_BLOCK", "D1_BLOCK"])
def test_a_second_start_on_the_same_port_leaves_what_the_first_wrote_into_env(
    tmp_path: Path, block: str
) -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "run.py"))
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "run.py").write_text((ROOT / "scripts" / "run.py").read_text())
    file = tmp_path / ".env"
    with socket.socket() as first:
        first.bind(("127.0.0.1", 0))
        first.listen()
        taken = str(first.getsockname()[1])
        file.write_text(f"{script['DOTENV']}PORT={taken}\n")
        script["write_block"](file, script[block], {"DATABASE_URL": "d1://127.0.0.1:8002/kikaku"})
        written = file.read_text()
        done = subprocess.run(
            [sys.executable, str(tmp_path / "scripts" / "run.py")],
            env={"ENVIRONMENT": "development", "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1 and f"Port {taken}" in done.stderr
    assert file.read_text() == written


@pytest.mark.parametrize("target", ["run", "test", "lint", "types", "lock", "clean"])
def test_make_help_explains_each_target(target: str) -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True)
    assert f"make {target} " in done.stdout
