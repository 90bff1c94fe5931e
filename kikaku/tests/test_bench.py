"""`make bench` completes: a small run prints its figures and exits with 0."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from kikaku.d1.testing.engine import need_engine


def bench(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run the benchmark with its temporary files below `folder`."""
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=settings.BASE_DIR,
        env={**os.environ, "PYTHONPATH": "scripts", "TMPDIR": str(folder), "DB": "sqlite"},
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.mark.nightly
def test_a_small_run_reports_and_leaves_no_files(tmp_path: Path) -> None:
    run = bench("webhooks", "close", "--payments", "2", "--day", "20", folder=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "event answered, p99" in run.stdout
    assert "answers: 4 × 200" in run.stdout
    assert "day of 20 payments, time" in run.stdout
    assert "0 differences" in run.stdout
    assert "day of 20 payments, peak memory" in run.stdout
    assert "goal ≤ 50" in run.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_part_is_refused_with_the_list_of_parts(tmp_path: Path) -> None:
    run = bench("pagse", folder=tmp_path)
    assert run.returncode == 2
    assert "there are pages, webhooks, close" in run.stderr


@pytest.mark.nightly
def test_pages_are_measured_without_the_caches_that_are_named(tmp_path: Path) -> None:
    off = [f"--without={cache}" for cache in ("page-store", "statements", "cards", "fragments", "navigation")]
    run = bench("pages", "--rounds", "1", "--requests", "1", *off, folder=tmp_path)
    assert run.returncode == 0, run.stderr
    (stored,) = [
        line for line in run.stdout.splitlines() if "list page, stored" in line and "queries" in line
    ]
    assert "2 queries" in stored  # the list and the navigation


@pytest.mark.nightly
def test_d1_is_compared_with_sqlite(tmp_path: Path) -> None:
    need_engine()
    run = bench("d1", "--repeats", "1", folder=tmp_path)
    assert run.returncode == 0, run.stderr
    lines = [line for line in run.stdout.splitlines() if "round trips" in line and "ms on SQLite" in line]
    assert len(lines) == 9, run.stdout
    goals = [line for line in lines if "goal" in line]
    assert len(goals) == 5 and all("NOT REACHED" not in line for line in goals), run.stdout
    assert list(tmp_path.iterdir()) == []
