"""The worker runs the jobs of `ops.jobs.schedule.JOBS` and nothing else, whatever django-q2's tables say."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django_q.models import OrmQ, Schedule
from django_q.signing import SignedPackage

from kikaku.testing.database import database_environment
from kikaku.testing.ports import find_free_ports
from ops.jobs import queue, schedule
from ops.models import JobRun
from ops.testing.running import ROOT

pytestmark = pytest.mark.django_db

DJANGO_Q_MODELS = ("schedule", "success", "failure", "ormq", "task")


def wait_until(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Return whether the condition became true in time."""
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.1)
    return condition()


@contextmanager
def worker(folder: Path) -> Iterator[Path]:
    """Run `manage.py worker` on the test's database; yield the file with its log."""
    log, port = folder / "worker.log", find_free_ports()
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "worker"],
            cwd=ROOT,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("STRIPE_")},
                "ENVIRONMENT": "development",
                "DJANGO_SETTINGS_MODULE": "ops.testing.impatient_settings",
                "KIKAKU_TEST_ROOT": str(folder),
                "PORT": str(port),
                **database_environment(),
            },
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield log
    finally:
        process.terminate()
        process.wait(timeout=30)


def packed(function: str, *arguments: str, **options: str) -> str:
    """Return a task as django-q2 itself packs and signs it."""
    return str(
        SignedPackage.dumps(
            {
                "id": "1" * 32,
                "name": "planted",
                "func": function,
                "args": arguments,
                "kwargs": {},
                "started": timezone.now(),
                **options,
            }
        )
    )


class Pickled:
    """An object whose unpickling runs a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


@pytest.mark.django_db(transaction=True)
def test_planted_rows_run_nothing_while_every_job_runs(tmp_path: Path) -> None:
    ran = {name: tmp_path / name for name in ("scheduled", "in-the-sentinel", "queued", "pickled")}
    due = {"next_run": timezone.now() - timedelta(minutes=1), "schedule_type": Schedule.ONCE}
    Schedule.objects.create(func="os.system", args=repr((f"touch {ran['scheduled']}",)), **due)
    Schedule.objects.create(
        func="os.system",
        args=repr((f"touch {ran['in-the-sentinel']}",)),
        kwargs=repr({"q_options": {"sync": True}}),
        **due,
    )
    past = timezone.now() - timedelta(minutes=1)
    for payload in (
        packed("os.system", f"touch {ran['queued']}"),
        packed("ops.jobs.schedule.run", "mail"),
        str(SignedPackage.dumps(Pickled(f"touch {ran['pickled']}"))),
        packed("no.such.function", hook="os.system"),
        "no job",
    ):
        OrmQ.objects.create(key="kikaku", payload=payload, lock=past)
    with worker(tmp_path) as log:
        finished = JobRun.objects.filter(finished_at__isnull=False)
        assert wait_until(
            lambda: set(finished.values_list("job", flat=True)) == set(schedule.JOBS), seconds=60
        ), log.read_text()
        assert wait_until(lambda: not OrmQ.objects.exists(), seconds=10), log.read_text()
    assert [name for name, file in ran.items() if file.exists()] == []
    assert log.read_text().count("that names no job was deleted") == 5


def test_only_the_name_of_a_job_is_queued() -> None:
    broker = queue.DatabaseQueue("kikaku")
    for task in ("os.system", packed("os.system", "true"), ""):
        with pytest.raises(ValueError, match="names of jobs"):
            broker.enqueue(task)
    broker.enqueue("mail")
    OrmQ.objects.update(lock=timezone.now() - timedelta(seconds=1))
    [(_entry, package)] = broker.dequeue()
    task = SignedPackage.loads(package)
    assert (task["func"], task["args"], task["kwargs"]) == ("ops.jobs.schedule.run", ("mail",), {})


@pytest.mark.parametrize("model", DJANGO_Q_MODELS)
def test_the_admin_has_no_page_for_django_q2s_tables(model: str) -> None:
    with pytest.raises(NoReverseMatch):
        reverse(f"admin:django_q_{model}_changelist")


@pytest.mark.parametrize("model", [User, Group])
def test_permissions_for_django_q2s_tables_can_neither_be_seen_nor_given(
    model: type[User] | type[Group], admin_client: Client
) -> None:
    field, page = ("user_permissions", "auth_user") if model is User else ("permissions", "auth_group")
    name = "username" if model is User else "name"
    row = model._default_manager.create(**{name: "clerk"})
    address = reverse(f"admin:{page}_change", args=(row.pk,))
    form = admin_client.get(address).context["adminform"].form
    offered = set(form.fields[field].queryset.values_list("content_type__app_label", flat=True))
    assert {"ledger", "shop", "auth"} <= offered and "django_q" not in offered
    planted = Permission.objects.get(codename="add_schedule")
    admin_client.post(
        address,
        {name: "clerk", "is_active": "on", "date_joined_0": "2026-11-01", "date_joined_1": "10:00:00",
         field: [planted.pk]},
    )  # fmt: skip
    assert not getattr(row, field).exists()
