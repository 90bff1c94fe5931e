"""The image's HEALTHCHECK tells a worker from a web server, and whether it works."""

import os
import re
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from kikaku.testing.ports import find_free_ports
from kikaku.testing.serving import ROOT, served
from ops.management.commands import worker
from ops.models import Heartbeat

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.engine_independent]


def healthcheck(heartbeat: Path, port: int) -> tuple[int, str]:
    """Run the check as a container does; return its exit status and what it prints."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "healthcheck.py")],
        env={
            **os.environ,
            "WORKER_HEARTBEAT_FILE": str(heartbeat),
            "PORT": str(port),
            "STOREFRONT_BASE_URL": "http://testserver",
        },
        capture_output=True,
        text=True,
        timeout=30,
    )
    return done.returncode, done.stderr


def test_a_worker_is_healthy_while_its_heartbeat_is_recent(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "heartbeat"
    settings.WORKER_HEARTBEAT_FILE = str(file)
    now = timezone.now()
    worker.beat(started_at=now, now=now)
    assert healthcheck(file, find_free_ports()) == (0, "")
    assert Heartbeat.objects.get().beat_at == now
    old = time.time() - 121
    os.utime(file, (old, old))
    status, error = healthcheck(file, find_free_ports())
    assert status == 1 and re.search(r"heartbeat is 1[2-4]\d s old", error)  # the check takes its time
    worker.beat(started_at=now, now=now + timedelta(seconds=30))
    assert healthcheck(file, find_free_ports())[0] == 0


def test_a_heartbeat_that_the_database_does_not_take_is_none(settings: Settings, tmp_path: Path) -> None:
    settings.WORKER_HEARTBEAT_FILE = str(tmp_path / "heartbeat")
    with connection.schema_editor() as editor:
        editor.alter_db_table(Heartbeat, "ops_heartbeat", "elsewhere")
    try:
        worker.beat(started_at=timezone.now(), now=timezone.now())
    finally:
        with connection.schema_editor() as editor:
            editor.alter_db_table(Heartbeat, "elsewhere", "ops_heartbeat")
    assert not (tmp_path / "heartbeat").exists()


def test_a_container_without_a_heartbeat_is_asked_for_its_health(tmp_path: Path) -> None:
    file = tmp_path / "heartbeat"
    status, error = healthcheck(file, find_free_ports())
    assert status == 1 and "refused" in error
    with served(tmp_path, settings="ops.testing.unprepared_settings") as server:
        assert healthcheck(file, server.port) == (0, "")


def test_the_image_names_the_file_and_calls_the_check() -> None:
    lines = (ROOT / "Dockerfile").read_text()
    assert "WORKER_HEARTBEAT_FILE=/tmp/" in lines
    assert '["python", "scripts/healthcheck.py"]' in lines
