#!/usr/bin/env python3
"""Run the shop on this machine: web, worker and the Stripe stand-in, until Ctrl-C. Called by `make run`.

With the argument `d1` (`make run DB=d1`) the database is Cloudflare's D1 engine, one more child process with
its data in var/d1/. A block in `.env` then selects it for manage.py in a second terminal, too, until the next
plain `make run`.

Each child leads its own process group, so that all its descendants can be killed. It also ends when its
standard input closes (`lifeline.py`), so none is left even if this process is killed. If a child ends
unexpectedly, its last lines are printed and the others are ended.
"""

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
SHUTDOWN_GRACE_SECONDS = 12.0  # until children are killed; the worker ends itself after 10
START_TIMEOUT_SECONDS = 60.0  # for the D1 engine, and then for /health
# The first line identifies a file of ours, the markers what an earlier run has written: do not change them.
DOTENV = (
    "# Written by `make run`. The real environment wins; .env.example lists every variable.\n"
    "ENVIRONMENT=development\n"
)
# What only this run needs stands between these lines, for manage.py in a second terminal.
D1_BLOCK = (
    "# ── Written by `make run DB=d1`; `make run` takes it out again and is back on SQLite",
    "# ── end of what `make run DB=d1` wrote",
)
PORT_BLOCK = (
    "# ── Written by `make run PORT=…`; `make run` takes it out again and is back on its usual port",
    "# ── end of what `make run PORT=…` wrote",
)
D1_DATABASE = "kikaku"


def exit_with(message: str) -> NoReturn:
    """Exit with a message that says what to do."""
    print(f"\n{message}\n", file=sys.stderr)
    raise SystemExit(1)


@dataclass
class Child:
    """A child process whose output is printed line by line; it ends when its standard input closes."""

    name: str
    colour: str  # ANSI colour of its lines
    command: list[str]
    process: "subprocess.Popen[str] | None" = None
    reader: threading.Thread | None = None
    last_lines: list[str] = field(default_factory=list)

    def start(self, environment: dict[str, str]) -> None:
        """Start it in its own session: Ctrl-C reaches only this process, which ends the children in order."""
        self.process = subprocess.Popen(
            self.command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,  # never written to: it closes when this process ends
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.reader = threading.Thread(target=self._stream, daemon=True)
        self.reader.start()

    def _stream(self) -> None:
        assert self.process is not None and self.process.stdout is not None
        prefix = f"{self.name:<6} | "
        if sys.stdout.isatty():
            prefix = f"\033[{self.colour}m{prefix}\033[0m"
        for line in self.process.stdout:
            self.last_lines = [*self.last_lines[-4:], line.rstrip()]
            with contextlib.suppress(OSError):  # nothing reads any more; the child must not wait for a reader
                print(prefix + line, end="", flush=True)

    def has_ended(self) -> bool:
        """Return whether it was started and has ended."""
        return self.process is not None and self.process.poll() is not None

    def terminate(self) -> None:
        """Ask it to end; it ends its own children in order, so its group gets no signal yet."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def kill(self) -> None:
        """Kill what is left of its process group."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)


def check_port(port: int, *, what: str, base: int) -> None:
    """Exit if `port` cannot be bound, and say how to choose another."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            exit_with(
                f"Port {port}, meant for {what}, is taken or not allowed ({error.strerror}).\n"
                "Is the shop running already? Otherwise choose another port (the next ones are used, too):\n"
                f"    make run PORT={base + 10 if base < 65000 else 8010}"
            )


def end_children(children: list[Child], hurry: threading.Event) -> None:
    """Ask all children to end; kill them after the grace period, or at once when `hurry` is set."""
    for child in children:
        child.terminate()
    deadline = time.monotonic() + SHUTDOWN_GRACE_SECONDS
    while (
        time.monotonic() < deadline
        and not hurry.is_set()
        and not all(child.has_ended() for child in children)
    ):
        time.sleep(0.05)
    for child in children:
        child.kill()
        if child.process is not None:
            child.process.wait()
        if child.reader is not None:
            child.reader.join(timeout=2)


def drop_output_to_a_closed_terminal() -> None:
    """Let what is printed from now on go nowhere if nothing can be printed any more."""
    for output in (1, 2):
        try:
            os.write(output, b"\n")
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), output)


# ── D1 ───────────────────────────────────────────────────────────────────────────────────────────────────


def d1_environment(port: int) -> dict[str, str]:
    """Return the variables of the engine, which listens two ports above the shop, with a new secret."""
    from d1 import new_secret  # beside this file

    return {
        "DATABASE_URL": f"d1://127.0.0.1:{port + 2}/{D1_DATABASE}",
        "D1_GATEWAY_SECRET": os.environ.get("D1_GATEWAY_SECRET") or new_secret(),
    }


def wait_for_d1(engine: Child, stopping: threading.Event) -> None:
    """Wait until the engine is ready or `stopping` is set; exit if it does not start."""
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while not stopping.wait(0.05):
        if any(line.startswith("ready ") for line in engine.last_lines):
            return
        if engine.has_ended() or time.monotonic() > deadline:
            time.sleep(0.2)  # for its last lines
            exit_with("The D1 engine did not start:\n" + "\n".join(engine.last_lines))


def wait_for_stand_in(child: Child, port: int, stopping: threading.Event) -> None:
    """Wait until the Stripe stand-in listens, has ended, or `stopping` is set."""
    while not child.has_ended() and not stopping.wait(0.05):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return


def web_command(port: int) -> list[str]:
    """Return the arguments of Python for the web server; the Dockerfile's differ in host and log only."""
    return ["-m", "kikaku.server", "--port", str(port), "--log-level", "error"]


def python_child(name: str, colour: str, *arguments: str) -> Child:
    """Return a Python program as a child."""
    return Child(name, colour, [sys.executable, str(ROOT / "scripts" / "lifeline.py"), *arguments])


def is_healthy(address: str) -> bool:
    """Return whether `/health` answers 200."""
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def describe(base_url: str, stripe: str | None, login: Path, d1: bool, exports: dict[str, str]) -> str:
    """Return the block with addresses and login; `exports` are the variables that a second terminal needs."""
    lines = [f"Shop    {base_url}/", f"        {base_url}/en/  (English)", f"Admin   {base_url}/admin/"]
    if login.exists():
        user, password = login.read_text().split()[:2]
        place = os.path.relpath(login, ROOT)
        lines.append(f"        user {user}, password {password}  (development only, kept in {place})")
    if stripe:
        lines.append(f"Stripe  stand-in on {stripe}: card 4242 4242 4242 4242 pays, no real money")
    if d1:
        lines.append("Data    Cloudflare's D1 engine, kept in var/d1")
    if exports:
        lines += ["", "For manage.py in a second terminal (your .env is left alone):"]
        lines += [f"export {name}={value}" for name, value in exports.items()]
    lines += [
        "",
        "Close a day in a second terminal: .venv/bin/python manage.py daily_close",
        "Ctrl-C ends everything.",
    ]
    rule = "─" * 78
    return "\n".join(["", rule, *(f"  {line}".rstrip() for line in lines), rule, ""])


# ── The run ──────────────────────────────────────────────────────────────────────────────────────────────


def read_engine_name() -> str:
    """Return the engine that the command line names: `sqlite` or `d1`."""
    name = (sys.argv[1:] or ["sqlite"])[0]
    if name not in ("sqlite", "d1"):
        exit_with(
            f"DB must be sqlite or d1 for `make run`, not {name!r}.\n"
            "For a PostgreSQL of your own leave DB out and set DATABASE_URL=postgres://…"
        )
    if name == "d1" and os.environ.get("DATABASE_URL"):
        exit_with("DB=d1 and DATABASE_URL in the environment name two databases: leave one of them out.")
    return name


def without_block(dotenv: str, block: tuple[str, str]) -> str:
    """Return the text of a `.env` without what an earlier run has written into a block."""
    before, begin, rest = dotenv.partition(block[0])
    _variables, end, after = rest.partition(block[1])
    return before + after.removeprefix("\n") if begin and end else dotenv


def write_block(dotenv: Path, block: tuple[str, str], variables: dict[str, str]) -> None:
    """Write variables into our `.env` as a block; one may be a secret, so only the owner may read it."""
    lines = [block[0], *(f"{name}={value}" for name, value in variables.items()), block[1], ""]
    text = without_block(dotenv.read_text(), block)
    dotenv.chmod(0o600)
    dotenv.write_text(text + ("" if text.endswith("\n") else "\n") + "\n".join(lines))


def prepare_dotenv(dotenv: Path, *, may_write: bool) -> None:
    """Write a `.env` if there is none, and remove the blocks of an earlier run, which has ended."""
    if may_write and not dotenv.exists():
        dotenv.write_text(DOTENV)
        print(
            "Wrote .env with ENVIRONMENT=development, so that manage.py works in a second terminal.",
            flush=True,
        )
    for block in (D1_BLOCK, PORT_BLOCK):
        if dotenv.exists() and block[0] in (text := dotenv.read_text()):
            dotenv.write_text(without_block(text, block))


def tell_second_terminal(
    dotenv: Path, variables: dict[tuple[str, str], dict[str, str]], *, may_write: bool
) -> dict[str, str]:
    """Write the variables of this run, by block, into `.env`; return them if the file is not ours."""
    if may_write and dotenv.read_text().startswith(DOTENV.partition("\n")[0]):
        for block, values in variables.items():
            write_block(dotenv, block, values)
        return {}
    return {name: value for values in variables.values() for name, value in values.items()}


def usual_port(dotenv: Path) -> str:
    """Return the port that `.env` names, but for the blocks of an earlier run, which may still be running."""
    from dotenv import dotenv_values

    text = dotenv.read_text() if dotenv.exists() else ""
    for block in (D1_BLOCK, PORT_BLOCK):
        text = without_block(text, block)
    return dotenv_values(stream=io.StringIO(text)).get("PORT") or "8000"


def asked_port() -> str:
    """Return the port that the environment names, "" for none."""
    return os.environ.get("PORT", "").strip()


def port_variables(dotenv: Path) -> dict[str, str]:
    """Return the port that was asked for, unless `.env` names it anyway."""
    return {"PORT": asked_port()} if asked_port() not in ("", usual_port(dotenv)) else {}


def read_settings() -> Any:
    """Return Django's settings; exit if they cannot be used."""
    from django.core.exceptions import ImproperlyConfigured

    try:
        from django.conf import settings

        port = int(settings.PORT)
    except ImproperlyConfigured as error:
        exit_with(f"The settings are not usable: {error}")
    if port > 65533:
        exit_with(
            "PORT must be 65533 or less: the Stripe stand-in and the D1 engine take the ports after it."
        )
    return settings


def d1_engine(port: int, data: Path) -> Child:
    """Return the D1 engine as a child; exit if it cannot be installed."""
    from d1 import EngineUnavailable, engine_command, install  # beside this file

    try:
        install()
        command = engine_command([D1_DATABASE], port=port, persist=data)
    except EngineUnavailable as error:
        exit_with(f"There is no D1: {error}.")
    return Child("d1", "34", command)


def prepare_shop(child: Child, environment: dict[str, str], stopping: threading.Event) -> bool:
    """Run `manage.py prepare`; return whether it succeeded."""
    child.start(environment)
    while not child.has_ended() and not stopping.wait(0.05):
        pass
    if stopping.is_set():
        return False
    assert child.process is not None
    if child.process.returncode:
        print("\nThe shop could not be prepared; the reason is above.\n", file=sys.stderr)
    return child.process.returncode == 0


def watch(children: list[Child], address: str, ready: Callable[[], str], stopping: threading.Event) -> int:
    """Print `ready()` once the shop answers, then wait for a signal; return 1 after a failure."""
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    is_ready = False
    while not stopping.wait(0.1):
        dead = next((child for child in children if child.has_ended()), None)
        if dead is not None:
            assert dead.process is not None
            stopping.set()
            if dead.reader is not None:
                dead.reader.join(timeout=2)
            reason = "\n".join(f"    {line}" for line in dead.last_lines)
            print(
                f"\n{dead.name} ended (exit {dead.process.returncode}), so everything ends:\n{reason}",
                file=sys.stderr,
            )
            return 1
        if not is_ready and is_healthy(address):
            is_ready = True
            print(ready(), flush=True)
        elif not is_ready and time.monotonic() > deadline:
            print(
                f"\n{address}/health did not answer within {START_TIMEOUT_SECONDS:.0f} seconds.\n",
                file=sys.stderr,
            )
            return 1
    print("\nEnding …", flush=True)
    return 0


def main() -> int:
    """Prepare, start, watch and end the shop; return 0 after a signal, 1 if a child ended by itself."""
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    use_d1 = read_engine_name() == "d1"
    dotenv = ROOT / ".env"
    module = os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kikaku.settings")
    may_write = module == "kikaku.settings" and os.environ.get("ENVIRONMENT") == "development"
    named = asked_port() or usual_port(dotenv)
    wanted = int(named) if named.isdecimal() and int(named) <= 65535 else 0  # the settings refuse any other
    # before `.env` is changed: its blocks may be those of a shop that is running on this port
    check_port(wanted, what="the shop", base=wanted)
    prepare_dotenv(dotenv, may_write=may_write)
    variables = {PORT_BLOCK: found} if (found := port_variables(dotenv)) else {}
    if use_d1:
        variables[D1_BLOCK] = d1_environment(wanted)
        os.environ.update(variables[D1_BLOCK])  # before the settings: a shop on D1 has its own folder

    settings = read_settings()
    port = int(settings.PORT)
    address = f"http://127.0.0.1:{port}"
    stand_in = f"http://127.0.0.1:{port + 1}" if settings.SANDBOX else None
    if stand_in:
        check_port(port + 1, what="the Stripe stand-in", base=port)
    engines: list[Child] = []
    if use_d1:
        check_port(port + 2, what="the D1 engine", base=port)
        engines.append(d1_engine(port + 2, settings.VAR_DIR / "engine"))
    exports = tell_second_terminal(dotenv, variables, may_write=may_write)

    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "DJANGO_SETTINGS_MODULE": module, "PORT": str(port)}
    stopping, hurry = threading.Event(), threading.Event()

    def on_signal(number: int, frame: object) -> None:
        if number == signal.SIGHUP:
            drop_output_to_a_closed_terminal()
        if stopping.is_set():
            hurry.set()  # a second Ctrl-C ends the grace period
        stopping.set()

    children: list[Child] = []
    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGHUP, on_signal)  # the terminal was closed
    try:
        for engine in engines:
            engine.start(environment)
            wait_for_d1(engine, stopping)
        if stopping.is_set():
            return 0
        children = [python_child("setup", "2", "manage.py", "prepare")]
        if not prepare_shop(children[0], environment, stopping):
            return 0 if stopping.is_set() else 1
        web = python_child("web", "36", *web_command(port))
        worker = python_child("work", "33", "manage.py", "worker")
        children = [web, worker]
        if stand_in:
            environment["STRIPE_API_BASE"] = stand_in
            stripe = python_child("stripe", "35", "manage.py", "stripe_sandbox")
            children.append(stripe)
            stripe.start(environment)
        web.start(environment)
        if stand_in:
            wait_for_stand_in(stripe, port + 1, stopping)  # the worker asks it at once
        worker.start(environment)
        login = settings.VAR_DIR / "staff-login.txt"
        return watch(
            engines + children,
            address,
            lambda: describe(address, stand_in, login, use_d1, exports),
            stopping,
        )
    finally:
        end_children(children, hurry)
        end_children(engines, hurry)  # after those that still write


if __name__ == "__main__":
    raise SystemExit(main())
