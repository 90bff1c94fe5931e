"""The documents are true where a machine can check them: their commands run, their links and paths exist.

A command of `manage.py` is run as it is written, against a shop that `make run` has started: by day those of
README.md, at night all. A command that takes minutes or needs something else names the place that runs it.
"""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.request import urlopen

import pytest
from django.utils import timezone

from kikaku.days import business_day
from ledger.ingest.events import HANDLERS, UNHANDLED_TYPES
from ops.testing.running import ROOT, RunningShop

# README.md first, as a newcomer reads: its demo must run before the commands that close days
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "kikaku").glob("*/README.md")],
    key=lambda path: (path.name != "README.md", path),
)
COMMAND = re.compile(r"(?:make\b|\.ci/run|(?:\S*python )?(?:\./)?manage\.py |\.venv/bin/|git clone|docker )")
SHELL = re.compile(r"^ {4}(?:\$ )?([^`]+)$")
INLINE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]*)(?:#([^)\s]+))?\)")
DAY = re.compile(r"\b20\d\d-\d\d-\d\d\b")
MANAGE = re.compile(r"^(?:\S*python )?(?:\./)?manage\.py (.+)$")

# Commands that this test does not run: the file that does, and the words by which it does so.
PROVED_ELSEWHERE = {
    "make": ("scripts/smoke.py", '"make", "run"'),
    "make run": ("scripts/smoke.py", '"make", "run"'),
    "make run DB=d1": ("ops/tests/test_make_run_d1.py", "d1=True"),
    "make test": (".ci/run", "make test"),
    "make soak": (".ci/run", "make soak"),
    "make django-suite": (".ci/run", "make django-suite"),
    "make bench": ("kikaku/tests/test_bench.py", "bench"),
    "make lint": (".ci/run", "make lint"),
    "make types": (".ci/run", "make types"),
    ".ci/run": (".github/workflows/ci.yml", ".ci/run"),
    ".venv/bin/pre-commit install": ("ops/tests/test_pre_commit.py", 'pre_commit("install"'),
    ".venv/bin/python scripts/d1.py": ("ops/tests/test_make_run_d1.py", '"scripts" / "d1.py"'),
    "manage.py reset_two_factor": ("ops/tests/test_sign_in.py", 'call_command("reset_two_factor"'),
    "manage.py restore": ("ops/tests/test_backup.py", '"restore", str(path)'),
    "manage.py verify_backup": ("ops/tests/test_backup.py", 'call_command("verify_backup"'),
    "manage.py test_alert": ("ops/tests/test_alerts.py", 'call_command("test_alert")'),
    "manage.py worker": ("ops/tests/test_make_run.py", "worker is running"),
    "manage.py verify_books --head": (
        "ledger/tests/test_manipulations.py",
        'call_command("verify_books", "--head", head)',
    ),
    "manage.py d1_selftest": ("kikaku/d1/tests/test_selftest.py", "d1_selftest"),
}
# They change files that are committed: only what `make` would run is looked at.
DRY_RUN_ONLY = {"make lock", "make format"}
# With these `make --dry-run` would run something nevertheless.
RUNS_ALWAYS = re.compile(r"^(?:\t|[A-Z]+ [:?]?= )[@-]*\+|\$[({](?:MAKE|shell)\b|!=", re.MULTILINE)
OPTIONS_OF_MAKE = {"ARGS", "DB", "LABELS", "COUNT", "SEED", "JOBS", "SLOTS", "PORT", "UPGRADE", "PYTHON"}


def commands() -> Iterator[tuple[Path, str]]:
    """Return each command of each document once, without its comment, in reading order."""
    seen = set()
    for document in DOCUMENTS:
        for line in document.read_text().splitlines():
            block = SHELL.match(line)
            found = [block.group(1)] if block else INLINE.findall(line)
            for text in found:
                command = re.split(r"\s+#", text)[0].strip()
                if COMMAND.match(command) and command not in seen:
                    seen.add(command)
                    yield document, command


def proved_elsewhere(command: str) -> tuple[str, str] | None:
    """Return where a command runs, by its longest known beginning."""
    plain = f"manage.py {match.group(1)}" if (match := MANAGE.match(command)) else command
    names = [name for name in PROVED_ELSEWHERE if plain == name or plain.startswith(f"{name} ")]
    return PROVED_ELSEWHERE[max(names, key=len)] if names else None


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    """Return a shop as `make run` starts it."""
    running = RunningShop(tmp_path_factory.mktemp("documents"))
    try:
        yield running.wait_until_ready()
    finally:
        running.stop()


def test_every_command_of_manage_py_runs_as_it_is_written(shop: RunningShop) -> None:
    documents = DOCUMENTS if os.environ.get("KIKAKU_NIGHTLY") else [ROOT / "README.md"]
    yesterday = business_day(timezone.now()) - timedelta(days=1)
    ran = []
    for document, command in commands():
        match = MANAGE.match(command)
        if match is None or proved_elsewhere(command) or document not in documents:
            continue
        arguments = shlex.split(DAY.sub(str(yesterday), match.group(1)))
        done = shop.manage(*arguments)
        # 2: the demo's history holds a difference that a person must resolve
        allowed = (0, 2) if arguments[0] == "daily_close" else (0,)
        assert done.returncode in allowed, (
            f"{document.relative_to(ROOT)}: {command}\n{done.stdout}{done.stderr}"
        )
        ran.append(arguments[0])
    assert {"demo", "daily_close", "verify_books"} <= set(ran)


def test_the_requests_to_the_json_catalogue_are_answered(shop: RunningShop) -> None:
    shop.manage("demo")
    commands_of_api = re.findall(r"^ +(curl .+)$", (ROOT / "docs/api.md").read_text(), re.MULTILINE)
    assert len(commands_of_api) == 4
    with urlopen(f"{shop.url}/api/products", timeout=30) as page:
        slug = json.load(page)["products"][0]["slug"]
    for command in commands_of_api:
        words = shlex.split(command.replace("https://<shop>", shop.url).replace("<slug>", slug))
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        head, _blank, body = done.stdout.partition("\n\n")
        assert "200 OK" in head.splitlines()[0], f"{command}\n{done.stdout}{done.stderr}"
        assert json.loads(body)


def test_every_other_command_is_run_by_something_else() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for document, command in commands():
        where = f"{document.relative_to(ROOT)}: {command}"
        if command.startswith("make "):
            words = shlex.split(command)[1:]
            targets = [word for word in words if "=" not in word]
            unknown = {word.partition("=")[0] for word in words if "=" in word} - OPTIONS_OF_MAKE
            assert all(f"\n{target}:" in makefile for target in targets) and not unknown, where
        elsewhere = proved_elsewhere(command)
        if elsewhere is None:
            assert MANAGE.match(command) or command in DRY_RUN_ONLY, (
                f"{where}: nothing runs it; run it here or say in this file what does"
            )
            continue
        file, words_of_it = elsewhere
        assert words_of_it in (ROOT / file).read_text(), f"{where}: {file} does not run it any more"


def test_the_lists_of_events_name_those_that_are_handled_and_those_that_are_not() -> None:
    document = (ROOT / "docs/operations.md").read_text()
    section = document.split("## The webhook endpoint")[1].split("\n## ")[0]
    blocks = re.findall(r"(?:^ {4}.+\n)+", section, re.MULTILINE)
    handled, unhandled = (set(block.split()) for block in blocks)
    assert handled == set(HANDLERS)
    beginnings = {
        beginning for beginning in UNHANDLED_TYPES for kind in unhandled if kind.startswith(beginning)
    }
    assert beginnings == set(UNHANDLED_TYPES)
    assert all(kind.startswith(UNHANDLED_TYPES) for kind in unhandled)


def test_every_target_of_make_leads_to_scripts_that_exist() -> None:
    assert not RUNS_ALWAYS.search((ROOT / "Makefile").read_text())
    # without the options of the `make` that runs the tests
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    for document, command in commands():
        if command.partition(" ")[0] != "make":
            continue
        done = subprocess.run(
            [*shlex.split(command), "--dry-run"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        where = f"{document.relative_to(ROOT)}: {command}"
        assert done.returncode == 0, f"{where}\n{done.stderr}"
        for script in re.findall(r"scripts/\S+\.py", done.stdout):
            assert (ROOT / script).exists(), f"{where}: {script} does not exist"


def _anchor(heading: str) -> str:
    """Return the anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_paths_of_a_document_lead_somewhere(document: Path) -> None:
    text = document.read_text()
    for target, anchor in LINK.findall(text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        file = (document.parent / target).resolve() if target else document
        assert file.exists(), f"{target} does not exist"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert anchor in map(_anchor, headings), f"{target}#{anchor} does not exist"
    for path in re.findall(
        r"`((?:kikaku|ledger|shop|ops|scripts|templates|docs|\.ci|\.github)/[\w./-]+)`", text
    ):
        assert (ROOT / path).exists(), f"{path} does not exist"
