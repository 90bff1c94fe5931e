"""The hooks of `pre-commit install` are valid, are installed, and check what `make lint` checks."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kikaku.testing import engine_missing
from ops.testing.running import ROOT

CONFIGURATION = ROOT / ".pre-commit-config.yaml"


def pre_commit(*arguments: str, folder: Path) -> str:
    """Run pre-commit in a folder, with its cache there; return what it printed."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        [sys.executable, "-m", "pre_commit", *arguments],
        cwd=folder,
        env={**own, "PRE_COMMIT_HOME": str(folder / "cache"), "GIT_CONFIG_GLOBAL": os.devnull},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_configuration_is_valid(tmp_path: Path) -> None:
    pre_commit("validate-config", str(CONFIGURATION), folder=tmp_path)


def test_each_hook_is_a_command_of_make_lint() -> None:
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe
    commands = recipe[1].replace("$(VENV)", ".venv/bin")
    text = CONFIGURATION.read_text()
    entries = re.findall(r"^ +entry: (.+)$", text, re.MULTILINE)
    assert len(entries) == len(re.findall(r"^ +- id: ", text, re.MULTILINE)) > 0
    for entry in entries:
        assert entry.removesuffix(" --force-exclude") in commands  # the option is for single files


def test_installing_puts_a_hook_into_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("git") is None:
        engine_missing("git is missing")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):  # set when a hook of git runs the tests
        monkeypatch.delenv(name, raising=False)
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True, timeout=60)
    shutil.copy(CONFIGURATION, tmp_path)
    assert "pre-commit installed" in pre_commit("install", folder=tmp_path)
    hook = tmp_path / ".git" / "hooks" / "pre-commit"
    assert os.access(hook, os.X_OK)
    assert CONFIGURATION.name in hook.read_text()
