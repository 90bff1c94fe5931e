"""Processes forked from the test's, each with connections of its own, all starting at one moment.

A fork inherits the settings and the test database's name, and costs milliseconds where a fresh process costs
a second. No open connection survives a fork: all are closed before.
"""

import faulthandler
import multiprocessing
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import IO, Any, TypeAlias, TypeVar, cast

from django.db import connections

Result = TypeVar("Result")
WaitForAll: TypeAlias = Callable[[], None]

TIMEOUT_SECONDS = 60.0
FORK = multiprocessing.get_context("fork")


class ProcessFailed(Exception):
    """A process raised, died or did not end in time; the text is its traceback, or where it hung."""


def run_in_processes(
    jobs: Sequence[Callable[[WaitForAll], Result]], *, seconds: float = TIMEOUT_SECONDS
) -> list[Result]:
    """Run each job in a process of its own and return their results, in the order of the jobs.

    A job calls `wait_for_all` once, when its preparation is done: the call returns when all jobs have arrived
    there.

    Raises:
        ProcessFailed: when a job raised, died or did not end within `seconds`.
    """
    connections.close_all()
    barrier = FORK.Barrier(len(jobs))
    pipes = [FORK.Pipe(duplex=False) for _job in jobs]
    stacks = [tempfile.TemporaryFile() for _job in jobs]  # noqa: SIM115  (closed with the last reference)
    children = [
        FORK.Process(target=_run, args=(job, barrier, writer, seconds / 2, stack), daemon=True)
        for job, (_reader, writer), stack in zip(jobs, pipes, stacks, strict=True)
    ]
    for child in children:
        child.start()
    for _reader, writer in pipes:
        writer.close()  # the child has its own end: when the child dies, reading ends
    until = time.monotonic() + seconds
    try:
        answers = [
            _answer(reader, until, stack) for (reader, _writer), stack in zip(pipes, stacks, strict=True)
        ]
    finally:
        for child in children:
            child.join(max(until - time.monotonic(), 0.1))
            if child.is_alive():
                child.kill()
                child.join()
    for answer in answers:
        if isinstance(answer, ProcessFailed):
            raise answer
    return cast("list[Result]", answers)


def run_concurrently(
    size: int, job: Callable[[int, WaitForAll], Result], *, seconds: float = TIMEOUT_SECONDS
) -> list[Result]:
    """Run the same job in `size` processes, each with its number, and return their results in that order."""

    def numbered(number: int) -> Callable[[WaitForAll], Result]:
        return lambda wait_for_all: job(number, wait_for_all)

    return run_in_processes([numbered(number) for number in range(size)], seconds=seconds)


def _run(
    job: Callable[[WaitForAll], Any], barrier: Any, writer: Connection, seconds: float, stack: IO[bytes]
) -> None:
    """Run a job in the child and send its result; write to `stack` where it still is after `seconds`."""
    arrived = False
    faulthandler.dump_traceback_later(seconds, file=stack)

    def wait_for_all() -> None:
        nonlocal arrived
        arrived = True
        barrier.wait(seconds)

    try:
        answer: Any = job(wait_for_all)
    except BaseException:
        answer = ProcessFailed(traceback.format_exc())
        if not arrived:
            barrier.abort()  # the others must not wait for this one
    connections.close_all()
    writer.send(answer)
    writer.close()
    os._exit(0)  # skip the test runner's own exit handlers


def _answer(reader: Connection, until: float, stack: IO[bytes]) -> Any:
    if not reader.poll(max(until - time.monotonic(), 0)):
        stack.seek(0)
        return ProcessFailed(f"did not end in time: {stack.read().decode()}")
    try:
        return reader.recv()
    except EOFError:
        return ProcessFailed("died without an answer")
