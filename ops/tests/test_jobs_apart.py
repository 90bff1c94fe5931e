"""A job that takes long runs beside the queue, in a process that a worker starts, watches and ends."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from ops.jobs import schedule
from ops.jobs.apart import Apart
from ops.models import JobRun
from ops.testing.outside import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def backup(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the backup wait until the returned function is called."""
    reading, writing = os.pipe()

    def work(now: datetime) -> str:
        os.read(reading, 1)
        return "written"

    monkeypatch.setitem(schedule.JOBS, "backup", replace(schedule.JOBS["backup"], work=work))

    def let_it_end() -> None:
        os.write(writing, b"x")

    return let_it_end


def test_other_jobs_run_while_a_backup_is_being_made(backup: Callable[[], None], sandbox: object) -> None:
    apart = Apart()
    apart.start("backup")
    assert wait_for(lambda: JobRun.objects.filter(job="backup", finished_at=None).exists(), seconds=20)
    assert schedule.run("mail")
    apart.start("backup")  # the next hour, and a second worker, start none beside it
    assert schedule.run("backup") is False
    assert JobRun.objects.get(job="backup").finished_at is None
    backup()
    assert wait_for(lambda: JobRun.objects.filter(job="backup", succeeded=True).exists(), seconds=20)
    assert JobRun.objects.get(job="backup").message == "written"
    apart.stop()


def test_the_run_of_a_killed_process_is_taken_over(backup: Callable[[], None], sandbox: object) -> None:
    apart = Apart()
    apart.start("backup")
    assert wait_for(lambda: JobRun.objects.filter(job="backup").exists(), seconds=20)
    began = time.monotonic()
    apart.stop()  # as the end of the worker does
    assert time.monotonic() - began < 5 and not apart.processes["backup"].is_alive()
    assert schedule.run("backup") is False
    backup()
    later = timezone.now() + schedule.BACKUP_LEASE + timedelta(minutes=1)
    found = JobRun.objects.get(job="backup")
    JobRun.objects.update(scheduled_for=schedule.last_backup_time(later))
    assert schedule.run("backup", now=later)
    assert JobRun.objects.get(pk=found.pk).message == "written"
