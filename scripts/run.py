#!/usr/bin/env python3
"""Run the shop on this machine: web, worker and the Stripe stand-in, until Ctrl-C. Called by `make run`.

With the argument `d1` (`make run DB=d1`) the database is Cloudflare's D1 engine, one more child with its data in
var/d1/. A block in `.env` then leads manage.py in a second terminal there too, until the next plain `make run`.

Each child leads a process group of its own, so that ending it ends everything it started. When one ends by itself
the others are ended too, with its reason.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
GRACE_SECONDS = 12.0  # from the first signal to the last resort; the worker ends itself after 10
START_SECONDS = 60.0  # until /health must have answered, and before it the D1 engine
BLOCKING_THREADS = 8  # the shop keeps answering while four calls to Stripe hang
DOTENV = "# Written by `make run`. The real environment wins; .env.example lists every variable.\nENVIRONMENT=development\n"
D1_BEGIN = "# ── Written by `make run DB=d1`; `make run` takes it out again and is back on SQLite"
D1_END = "# ── end of what `make run DB=d1` wrote"
D1_DATABASE = "kikaku"


def stop_with(message: str) -> NoReturn:
    """End with a message a newcomer can act on."""
    print(f"\n{message}\n", file=sys.stderr)
    raise SystemExit(1)


@dataclass
class Child:
    """One of our processes."""

    name: str
    colour: str  # ANSI colour of its lines
    command: list[str]
    lifeline: bool = False  # it ends when its stdin closes, and so even when we are killed
    process: "subprocess.Popen[str] | None" = None
    reader: threading.Thread | None = None
    last_lines: list[str] = field(default_factory=list)

    def start(self, environment: dict[str, str]) -> None:
        """Start it in a session of its own: Ctrl-C reaches the supervisor alone, which then ends it in order."""
        self.process = subprocess.Popen(
            self.command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE if self.lifeline else subprocess.DEVNULL,
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
            with contextlib.suppress(BrokenPipeError):
                print(prefix + line, end="", flush=True)

    def ended(self) -> bool:
        """Whether it was started and is over."""
        return self.process is not None and self.process.poll() is not None

    def terminate(self) -> None:
        """Ask it to end. Itself alone: it ends its own children in order, a signal to all of them would race with that."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def kill(self) -> None:
        """End it and everything that is left of what it started."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)


def check_port(port: int, *, what: str, base: int) -> None:
    """Say it when `port` can not be taken, and how to choose another."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            stop_with(
                f"Port {port}, meant for {what}, is taken or not allowed ({error.strerror}).\n"
                f"Is the shop running already? Otherwise choose another port (the ones after it are used too):\n"
                f"    make run PORT={base + 10 if base < 65000 else 8010}"
            )


def end(children: list[Child], hurry: threading.Event) -> None:
    """Ask every child to end, then make it end."""
    for child in children:
        child.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and not hurry.is_set() and not all(child.ended() for child in children):
        time.sleep(0.05)
    for child in children:
        child.kill()
        if child.process is not None:
            child.process.wait()
        if child.reader is not None:
            child.reader.join(timeout=2)


# ── D1 ───────────────────────────────────────────────────────────────────────────────────────────────────


def without_d1(dotenv: str) -> str:
    """Return the text of a `.env` without the block of an earlier `make run DB=d1`."""
    before, begin, rest = dotenv.partition(D1_BEGIN)
    _block, end, after = rest.partition(D1_END)
    return before + after.removeprefix("\n") if begin and end else dotenv


def d1_environment(dotenv: Path) -> dict[str, str]:
    """Return the variables that lead to the engine, which listens two ports above the shop; the secret is new."""
    from d1 import new_secret  # beside this file
    from dotenv import dotenv_values

    port = (os.environ.get("PORT") or dotenv_values(dotenv).get("PORT") or "").strip() or "8000"
    above = int(port) + 2 if port.isdigit() else 0  # the settings refuse a wrong one with the reason
    return {
        "DATABASE_URL": f"d1://127.0.0.1:{above}/{D1_DATABASE}",
        "D1_GATEWAY_SECRET": os.environ.get("D1_GATEWAY_SECRET") or new_secret(),
    }


def write_d1(dotenv: Path, variables: dict[str, str]) -> None:
    """Put the variables into a `.env` of ours as a block; it then holds a secret, so only the owner reads it."""
    block = "\n".join([D1_BEGIN, *(f"{name}={value}" for name, value in variables.items()), D1_END, ""])
    text = without_d1(dotenv.read_text())
    dotenv.chmod(0o600)
    dotenv.write_text(text + ("" if text.endswith("\n") else "\n") + block)


def wait_for_d1(engine: Child, stopping: threading.Event) -> None:
    """Wait until the engine answers, or somebody wants an end."""
    deadline = time.monotonic() + START_SECONDS
    while not stopping.wait(0.05):
        if any(line.startswith("ready ") for line in engine.last_lines):
            return
        if engine.ended() or time.monotonic() > deadline:
            time.sleep(0.2)  # let its last lines come
            stop_with("The D1 engine did not start:\n" + "\n".join(engine.last_lines))


def web_command(port: int) -> list[str]:
    """Give the command of the web server; the Dockerfile's is the same but for the host and the log."""
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "kikaku.wsgi:application"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--blocking-threads", str(BLOCKING_THREADS), "--workers-kill-timeout", "5"]
    return [*command, "--no-ws", "--log-level", "error"]


def healthy(address: str) -> bool:
    """Whether `/health` answers 200."""
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def describe(base_url: str, stripe: str | None, login: Path, d1: bool, exports: dict[str, str]) -> str:
    """Return the block with addresses and login; `exports` is what a second terminal does not know by itself."""
    lines = [f"Shop    {base_url}/", f"        {base_url}/en/  (English)", f"Admin   {base_url}/admin/"]
    if login.exists():
        user, password = login.read_text().split()[:2]
        lines.append(
            f"        user {user}, password {password}  (development only, kept in var/{login.name})"
        )
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


def main() -> int:
    """Prepare, start, watch, end; 0 after Ctrl-C or SIGTERM, 1 when a child ended by itself."""
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    engine_name = (sys.argv[1:] or ["sqlite"])[0]
    if engine_name not in ("sqlite", "d1"):
        stop_with(
            f"DB must be sqlite or d1 for `make run`, not {engine_name!r}.\n"
            "For a PostgreSQL of your own leave DB out and set DATABASE_URL=postgres://…"
        )
    use_d1 = engine_name == "d1"
    if use_d1 and os.environ.get("DATABASE_URL"):
        stop_with("DB=d1 and DATABASE_URL in the environment name two databases: leave one of them out.")
    dotenv = ROOT / ".env"
    module = os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kikaku.settings")
    ours = module == "kikaku.settings" and os.environ.get("ENVIRONMENT") == "development"
    if ours and not dotenv.exists():
        dotenv.write_text(DOTENV)
        print(
            "Wrote .env with ENVIRONMENT=development, so that manage.py works in a second terminal.",
            flush=True,
        )

    # before the settings read it: an earlier run's engine is off, or listens elsewhere
    if dotenv.exists() and D1_BEGIN in (text := dotenv.read_text()):
        dotenv.write_text(without_d1(text))

    d1_variables: dict[str, str] = {}
    if use_d1:
        d1_variables = d1_environment(dotenv)
        os.environ.update(d1_variables)  # before the settings read it: a shop on D1 has a folder of its own

    from django.core.exceptions import ImproperlyConfigured

    try:
        from django.conf import settings

        port, sandbox = int(settings.PORT), bool(settings.SANDBOX)
    except ImproperlyConfigured as error:
        stop_with(f"The settings are not usable: {error}")
    if port > 65533:
        stop_with(
            "PORT must be 65533 or less: the Stripe stand-in and the D1 engine take the ports after it."
        )
    address = f"http://127.0.0.1:{port}"
    stand_in = f"http://127.0.0.1:{port + 1}" if sandbox else None
    check_port(port, what="the shop", base=port)
    if stand_in:
        check_port(port + 1, what="the Stripe stand-in", base=port)

    exports: dict[str, str] = {}
    engines: list[Child] = []
    if use_d1:
        from d1 import EngineUnavailable, engine_command, install  # beside this file

        check_port(port + 2, what="the D1 engine", base=port)
        try:
            install()
            command = engine_command([D1_DATABASE], port=port + 2, persist=settings.VAR_DIR / "engine")
        except EngineUnavailable as error:
            stop_with(f"There is no D1: {error}.")
        engines.append(Child("d1", "34", command, lifeline=True))
        if ours and dotenv.read_text().startswith(DOTENV.partition("\n")[0]):
            write_d1(dotenv, d1_variables)
        else:
            exports = d1_variables

    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "DJANGO_SETTINGS_MODULE": module, "PORT": str(port)}
    manage = [sys.executable, "manage.py"]
    stopping, hurry = threading.Event(), threading.Event()

    def on_signal(number: int, frame: object) -> None:
        if stopping.is_set():
            hurry.set()  # a second Ctrl-C: no patience any more
        stopping.set()

    prepared = Child("setup", "2", [*manage, "prepare"])
    children: list[Child] = []
    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    try:
        for engine in engines:
            engine.start(environment)
            wait_for_d1(engine, stopping)
        if stopping.is_set():
            return 0
        children = [prepared]
        prepared.start(environment)
        while not prepared.ended() and not stopping.wait(0.05):
            pass
        if stopping.is_set():
            return 0
        assert prepared.process is not None
        if prepared.process.returncode:
            print("\nThe shop could not be prepared; the reason is above.\n", file=sys.stderr)
            return 1

        children = [Child("web", "36", web_command(port)), Child("work", "33", [*manage, "worker"])]
        if stand_in:
            environment["STRIPE_API_BASE"] = stand_in
            children.append(Child("stripe", "35", [*manage, "stripe_sandbox"]))
        for child in children:
            child.start(environment)

        deadline = time.monotonic() + START_SECONDS
        told = False
        while not stopping.wait(0.1):
            dead = next((child for child in engines + children if child.ended()), None)
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
            if not told and healthy(address):
                told = True
                login = settings.VAR_DIR / "staff-login.txt"
                print(describe(address, stand_in, login, use_d1, exports), flush=True)
            elif not told and time.monotonic() > deadline:
                print(
                    f"\n{address}/health did not answer within {START_SECONDS:.0f} seconds.\n",
                    file=sys.stderr,
                )
                return 1
        print("\nEnding …", flush=True)
        return 0
    finally:
        end(children, hurry)
        end(engines, hurry)  # after what still writes


if __name__ == "__main__":
    raise SystemExit(main())
