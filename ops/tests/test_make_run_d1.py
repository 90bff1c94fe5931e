"""`make run DB=d1`: the shop on Cloudflare's engine, a second terminal, and the way back to SQLite."""

import os
import re
import runpy
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from dotenv import dotenv_values

from kikaku.d1.engine import SECRET_VARIABLE, Engine
from kikaku.d1.testing.engine import GatewayClient, need_engine
from ops.testing.running import ROOT, RunningShop, wait_until_gone

pytestmark = pytest.mark.xdist_group("make run on D1")  # groups run first: these tests take long

SECRET = "Zk3v9yQw7Lr2Xn8Bt5Hd1Jf6Pm4Sc0Ga"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "run.py"))


def refusal(engine: str, **environment: str) -> str:
    """Run the script, which must refuse; return its error output."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "run.py"), engine],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "ops.testing.settings", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    return done.stderr


def test_another_engine_is_refused_and_the_error_says_how_to_use_it() -> None:
    error = refusal("postgres")
    assert "DB must be sqlite or d1" in error and "DATABASE_URL=postgres://" in error


def test_two_databases_are_refused() -> None:
    assert "name two databases" in refusal("d1", DATABASE_URL="sqlite:////nowhere")


def test_an_env_file_of_make_run_names_d1_until_the_block_is_removed(
    script: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / ".env"
    file.write_text(script["DOTENV"] + "PORT=9000")
    for address in ("d1://127.0.0.1:8002/kikaku", "d1://127.0.0.1:9002/kikaku"):
        script["write_block"](
            file, script["D1_BLOCK"], {"DATABASE_URL": address, "D1_GATEWAY_SECRET": SECRET}
        )
        found = {"ENVIRONMENT": "development", "PORT": "9000"}
        assert dotenv_values(file) == {**found, "DATABASE_URL": address, "D1_GATEWAY_SECRET": SECRET}
        assert file.read_text().count("DATABASE_URL") == 1
        assert file.stat().st_mode & 0o777 == 0o600
    file.write_text(file.read_text() + "EMAIL_URL=console:\n")  # a line that the user added
    script["prepare_dotenv"](file, may_write=True)
    assert file.read_text() == script["DOTENV"] + "PORT=9000\nEMAIL_URL=console:\n"


def test_an_env_file_without_the_block_is_left_unchanged(script: dict[str, Any]) -> None:
    for text in (
        "",
        script["DOTENV"],
        "DATABASE_URL=sqlite:///x\n",
        script["D1_BLOCK"][0] + "\nDATABASE_URL=d1://x\n",
    ):
        assert script["without_block"](text, script["D1_BLOCK"]) == text


def test_the_script_runs_an_engine_alone_until_it_is_stopped(tmp_path: Path) -> None:
    need_engine()
    command = [sys.executable, str(ROOT / "scripts" / "d1.py"), "first", "second"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline().rstrip() for _variable in range(2)]
            variables = dict(line.split("=", 1) for line in lines)
            address = urlsplit(variables["DATABASE_URL"])
            assert (address.scheme, address.path) == ("d1", "/first")
            engine = Engine(address.netloc, variables[SECRET_VARIABLE], tmp_path / "output", process.pid)
            for database in ("first", "second"):
                assert GatewayClient(engine).ask({"batch": [["SELECT 1"]]}, path=f"/v1/{database}")[0] == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()


@pytest.mark.nightly
def test_the_shop_runs_on_d1_and_keeps_its_data(tmp_path: Path) -> None:
    need_engine()
    login: tuple[str, str] | None = None
    for _start in range(2):
        shop = RunningShop(tmp_path, d1=True)
        try:
            shop.wait_until_ready()
            children = shop.children()
            assert f"127.0.0.1:{shop.port + 2}" in shop.output()
            # the variables for a second terminal were printed, because this .env was not written by make run
            assert shop.environment["DATABASE_URL"].startswith("d1://")
            done = shop.manage(
                "shell",
                "-v",
                "0",
                "-c",
                "from django.db import connection as c; print(c.vendor, c.settings_dict['ENGINE'])",
            )
            assert done.stdout.split() == ["sqlite", "kikaku.d1"], done.stderr
            assert login in (None, shop.login())
            kept_in = re.search(r"kept in (\S+staff-login\.txt)\)", shop.output())
            assert kept_in and (ROOT / kept_in.group(1)).read_text().split()[:2] == list(shop.login())
            login = shop.login()
            assert shop.stop(signal.SIGTERM) == 0
            assert wait_until_gone(children) == []
        finally:
            shop.stop(signal.SIGKILL)


@pytest.mark.nightly
def test_when_the_engine_dies_the_shop_ends(tmp_path: Path) -> None:
    need_engine()
    shop = RunningShop(tmp_path, d1=True)
    try:
        shop.wait_until_ready()
        children = shop.children()
        engine = next(
            pid for pid in children if b"engine.mjs" in (Path("/proc") / str(pid) / "cmdline").read_bytes()
        )
        os.kill(engine, signal.SIGKILL)
        assert shop.process.wait(timeout=30) == 1
        shop.wait_for_end()
        assert "d1 ended" in shop.output()
        assert wait_until_gone(children) == []
    finally:
        shop.stop(signal.SIGKILL)
