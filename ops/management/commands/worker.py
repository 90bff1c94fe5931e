"""`manage.py worker`: run the scheduled jobs."""

import logging
import os
import signal
import threading
from datetime import datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection, connections
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.cluster import Cluster

from kikaku.transactions import unit_of_work
from ledger.stripe.client import foreign_account
from ops.health.watch import record_start
from ops.jobs import schedule
from ops.jobs.apart import Apart
from ops.models import Heartbeat

logger = logging.getLogger("ops.worker")
HEARTBEAT_SECONDS = 30
QUEUE_SECONDS = 5  # how often the worker looks which jobs are due
# django-q2 waits for a running job without limit; killing it is safe because of claims and leases
SHUTDOWN_GRACE_SECONDS = 10


@unit_of_work
def write_heartbeat(*, started_at: datetime, now: datetime) -> None:
    """Write the sign of life that the dashboard and alerts read."""
    Heartbeat.objects.update_or_create(name="worker", defaults={"beat_at": now, "started_at": started_at})


def beat(*, started_at: datetime, now: datetime) -> None:
    """Write the heartbeat, and once it is written touch the file that the image's HEALTHCHECK reads."""
    try:
        write_heartbeat(started_at=started_at, now=now)
        if settings.WORKER_HEARTBEAT_FILE:
            Path(settings.WORKER_HEARTBEAT_FILE).touch()
    except (DatabaseError, OSError):
        logger.exception("the heartbeat could not be written")
        connections.close_all()


def start_due_jobs(broker: Any, apart: Apart, timetable: schedule.Timetable, *, now: datetime) -> None:
    """Queue the jobs that are due, or start them beside the queue; what fails is still due later."""
    try:
        for name in timetable.due(now):
            if schedule.JOBS[name].is_apart:
                apart.start(name)
            else:
                broker.enqueue(name)
            timetable.mark_queued(name, now=now)
    except Exception:  # the database or Redis does not answer
        logger.exception("jobs could not be started")
        connections.close_all()


def kill_worker(sentinel: BaseProcess) -> None:
    """Kill this process and, if it leads its process group, as under a service manager, the whole group."""
    logger.warning("a job is still running after %s seconds and is killed", SHUTDOWN_GRACE_SECONDS)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    sentinel.kill()
    os._exit(1)


class Command(BaseCommand):
    """Run django-q2's cluster, queue the jobs that are due and write a heartbeat every 30 seconds."""

    help = (
        "Run the scheduled jobs: Stripe events, balance, refunds, mail, the daily close, backups and others."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until SIGTERM or Ctrl-C."""
        started_at = timezone.now()
        logger.info("switched off: %s", "; ".join(settings.SWITCHED_OFF) or "nothing")
        record_start(Heartbeat.Process.WORKER, now=started_at)  # first: what ends below may be a restart loop
        if settings.STRIPE_SECRET_KEY and (reason := foreign_account()):
            raise CommandError(reason)
        connection.close()  # the cluster forks: a child must not inherit an open connection
        os.environ["Q_CLUSTER_NAME"] = str(settings.Q_CLUSTER["name"])
        cluster = Cluster()
        stopping = threading.Event()

        def stop(number: int, frame: object) -> None:
            stopping.set()

        cluster.start()
        if not cluster.sentinel.is_alive():
            return  # it was stopped during its start
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        logger.info("worker is running: %s", ", ".join(schedule.JOBS))
        timetable, broker, apart = schedule.Timetable(), get_broker(), Apart()
        next_heartbeat = started_at
        while cluster.sentinel.is_alive():
            now = timezone.now()
            if now >= next_heartbeat:
                next_heartbeat = now + timedelta(seconds=HEARTBEAT_SECONDS)
                beat(started_at=started_at, now=now)
            start_due_jobs(broker, apart, timetable, now=now)
            if stopping.wait(QUEUE_SECONDS):
                break
        else:
            raise SystemExit("django-q2's cluster ended unexpectedly")
        watchdog = threading.Timer(SHUTDOWN_GRACE_SECONDS, kill_worker, (cluster.sentinel,))
        watchdog.daemon = True
        watchdog.start()
        apart.stop()
        cluster.stop()
        watchdog.cancel()
