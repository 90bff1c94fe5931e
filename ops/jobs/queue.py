"""The job queue: django-q2's brokers, which carry nothing but the names of `ops.jobs.schedule.JOBS`.

By itself django-q2 runs any function that a row of its tables names, and unpickles what it finds in its
queue. So its scheduler is off (`Q_CLUSTER`), its queue holds a job's name, and the worker builds the call
from that name. Any other entry is deleted and logged as an error, even if it is signed with our SECRET_KEY.
"""

import logging
from datetime import datetime
from typing import Any

from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.brokers.redis_broker import Redis
from django_q.humanhash import uuid
from django_q.signing import SignedPackage

from ops.jobs.schedule import JOBS

logger = logging.getLogger(__name__)


def package(name: str, *, now: datetime) -> str:
    """Return django-q2's package for one run of the job `name`."""
    return str(
        SignedPackage.dumps(
            {
                "id": uuid()[1],
                "name": name,
                "func": "ops.jobs.schedule.run",
                "args": (name,),
                "kwargs": {},
                "ack_failure": True,
                "started": now,
            }
        )
    )


class JobQueue:
    """What both brokers share; to be inherited before one of django-q2's."""

    def enqueue(self, task: str) -> Any:
        """Queue a job by its name; raise ValueError for anything else."""
        if task not in JOBS:
            raise ValueError("only the names of jobs are queued")
        return super().enqueue(task)  # type: ignore[misc]

    def dequeue(self) -> list[tuple[Any, str]]:
        """Return the next entries, each as (id, package); wait a little first if the queue is empty."""
        packages = []
        for entry, content in super().dequeue() or ():  # type: ignore[misc]
            name = content.decode(errors="replace") if isinstance(content, bytes) else content
            if name in JOBS:
                packages.append((entry, package(name, now=timezone.now())))
            else:
                logger.error("an entry of the job queue that names no job was deleted: %.80r", name)
                self.fail(entry)  # type: ignore[attr-defined]
        return packages


class DatabaseQueue(JobQueue, ORM):  # type: ignore[misc]
    """The queue in the database."""


class RedisQueue(JobQueue, Redis):  # type: ignore[misc]
    """The queue in Redis."""
