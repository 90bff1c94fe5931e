"""Real processes for tests: forked from the test's, each with connections of its own, all starting at one moment.

A fork carries the settings, the test database's name and the stand-in's path along, and costs milliseconds where a
fresh process costs a second. Nothing that is open survives it: the connections are closed before.
"""

import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, TypeVar, cast

from django.db import connections

from ledger.stripe import client as stripe_client

Result = TypeVar("Result")
Together = Callable[[], None]
FORK = multiprocessing.get_context("fork")
SECONDS = 60.0


class Broken(Exception):
    """A process ended in a way that the test did not ask for; the text is its traceback."""


def in_processes(jobs: Sequence[Callable[[Together], Result]]) -> list[Result]:
    """Run each job in a process of its own and give their results, in the order of the jobs.

    A job gets `together`, to be called once, when its preparation is done: it returns when all jobs are there.
    Raises `Broken` when one of them raised, died or did not end in a minute.
    """
    connections.close_all()
    stripe_client.sandbox().close()
    barrier = FORK.Barrier(len(jobs))
    pipes = [FORK.Pipe(duplex=False) for _job in jobs]
    children = [
        FORK.Process(target=_run, args=(job, barrier, writer))
        for job, (_reader, writer) in zip(jobs, pipes, strict=True)
    ]
    for child in children:
        child.start()
    for _reader, writer in pipes:
        writer.close()  # the child has its own end: when it dies, reading ends
    until = time.monotonic() + SECONDS
    try:
        answers = [_answer(reader, until) for reader, _writer in pipes]
    finally:
        for child in children:
            child.join(timeout=max(until - time.monotonic(), 0.1))
            if child.is_alive():
                child.kill()
                child.join()
    for answer in answers:
        if isinstance(answer, Broken):
            raise answer
    return cast("list[Result]", answers)


def crowd(size: int, job: Callable[[int, Together], Result]) -> list[Result]:
    """Run the same job in `size` processes, each with its number."""

    def numbered(number: int) -> Callable[[Together], Result]:
        return lambda together: job(number, together)

    return in_processes([numbered(number) for number in range(size)])


def _run(job: Callable[[Together], Any], barrier: Any, writer: Connection) -> None:
    """Be the child."""
    arrived = False

    def together() -> None:
        nonlocal arrived
        arrived = True
        barrier.wait(SECONDS / 2)

    try:
        answer: Any = job(together)
    except BaseException:
        answer = Broken(traceback.format_exc())
        if not arrived:
            barrier.abort()
    connections.close_all()
    writer.send(answer)
    writer.close()
    os._exit(0)  # the test runner's own end of process is not ours to run


def _answer(reader: Connection, until: float) -> Any:
    if not reader.poll(max(until - time.monotonic(), 0)):
        return Broken("did not end in time")
    try:
        return reader.recv()
    except EOFError:
        return Broken("died without a word")
