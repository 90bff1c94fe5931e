"""The folder works in another project, under another name: copied, it needs nothing else of this one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ..engine import FOLDER, MODULES
from ..testing.engine import need_engine

PACKAGE = FOLDER.parent
ORIGINAL = __name__.split(".")[0]
NAME = f"renamed_{ORIGINAL}"  # of the copy
SETTINGS = f"""
import os
from {NAME}.address import database

SECRET_KEY = "only for tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.admin", "{NAME}"]
SECRET = os.environ["D1_GATEWAY_SECRET"]
DATABASES = {{"default": database(os.environ["DATABASE_URL"], gateway_secret=SECRET, api_token="")}}
"""
# runs with the copy alone on the path
STEPS = f"""
import os, sys

from {NAME}.engine import temporary_engine

with temporary_engine(["app", "test_app"]) as engine:
    os.environ.update(engine.environment("app"), DJANGO_SETTINGS_MODULE="project_settings")
    import django
    django.setup()
    from django.contrib.auth.models import Group
    from django.core.management import call_command
    from django.db import connection, transaction
    from {NAME} import TransactionConflict, reserve_ids, retry_on_conflict, serializable

    call_command("migrate", verbosity=0)
    assert connection.settings_dict["ENGINE"] == "{NAME}"

    Group.objects.create(name="committed")
    try:
        with transaction.atomic():
            Group.objects.create(name="rolled back")
            assert Group.objects.filter(name="rolled back").exists()  # the block reads its own writes
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    assert list(Group.objects.values_list("name", flat=True)) == ["committed"]

    attempts = []

    @retry_on_conflict
    def rename():
        with serializable(), transaction.atomic():
            attempts.append(len(attempts))
            group = Group.objects.get()
            if len(attempts) == 1:  # another writer is faster
                other = connection.copy()
                with other.cursor() as cursor:
                    cursor.execute("UPDATE auth_group SET name = name || '!'")
                other.close()
            group.name += "?"
            group.save()
            assert len(reserve_ids("auth_group", 3)) == 3

    rename()
    assert len(attempts) == 2
    assert Group.objects.get().name == "committed!?"

    call_command("dbshell", "--", "-c", "SELECT name FROM auth_group")

print("modules of the original:", [name for name in sys.modules if name.split(".")[0] == "{ORIGINAL}"])
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return the folder of an empty Django project that holds a copy of the package under another name."""
    need_engine()
    shutil.copytree(
        PACKAGE, tmp_path / NAME, ignore=shutil.ignore_patterns("node_modules", "__pycache__", ".*_cache")
    )
    # the copy would install its own at its first start, from the network
    (tmp_path / NAME / "engine" / "node_modules").symlink_to(MODULES)
    (tmp_path / "project_settings.py").write_text(SETTINGS)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nDJANGO_SETTINGS_MODULE = project_settings\npythonpath = .\n"
    )
    return tmp_path


def run(project: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run Python in the project, without this project on its path."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env={**kept, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=180,
    )


def test_another_project_migrates_writes_and_rolls_back_with_a_renamed_copy(project: Path) -> None:
    (project / "steps.py").write_text(STEPS)
    done = run(project, "steps.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "modules of the original: []" in done.stdout
    assert "committed!?" in done.stdout  # what dbshell printed


@pytest.mark.nightly
def test_the_tests_of_a_renamed_copy_run_in_another_project(project: Path) -> None:
    # no request is sent there
    somewhere = {
        "DATABASE_URL": "d1://127.0.0.1:9/app",
        "D1_GATEWAY_SECRET": "x" * 32,
    }
    collected = run(project, "-m", "pytest", "--collect-only", "-q", NAME, **somewhere)
    assert collected.returncode == 0, collected.stdout + collected.stderr
    sample = [f"{NAME}/tests/test_{name}.py" for name in ("address", "introspection")]
    done = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", *sample, **somewhere)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout and "skipped" not in done.stdout
