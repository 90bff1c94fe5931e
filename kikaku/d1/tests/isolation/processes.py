"""Crowds: processes forked from the test's, each with connections of its own, all starting at one moment."""

import multiprocessing
import os
import random
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeAlias, TypeVar

from django.db import connections

Result = TypeVar("Result")
Together: TypeAlias = Callable[[], None]

SCALE = int(os.environ.get("KIKAKU_ISOLATION", "1"))  # so many times the usual work
SECONDS = 60.0 * SCALE
FORK = multiprocessing.get_context("fork")


class Broken(Exception):
    """A process ended in a way that the test did not ask for; the text is its traceback."""


def choices(process: int) -> random.Random:
    """Return the random choices of a process; the seed of the run is told, which pytest shows when a test fails."""
    seed = os.environ.setdefault("KIKAKU_ISOLATION_SEED", str(random.SystemRandom().randrange(10**6)))
    print(f"KIKAKU_ISOLATION_SEED={seed}, process {process}")
    return random.Random(f"{seed} {process}")


def crowd(size: int, job: Callable[[int, Together], Result]) -> list[Result]:
    """Run the same job in `size` processes, each with its number, and give their results in that order.

    A job calls `together` once, when it is prepared: it returns when all are.

    Raises:
        Broken: when one of them raised, died or did not end in time.
    """
    choices(-1)  # the seed is drawn before the fork, so that there is one
    connections.close_all()  # nothing that is open survives a fork
    start = FORK.Barrier(size)
    pipes = [FORK.Pipe(duplex=False) for _number in range(size)]
    children = [
        FORK.Process(target=_run, args=(job, number, start, writer), daemon=True)
        for number, (_reader, writer) in enumerate(pipes)
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
            child.join(max(until - time.monotonic(), 0.1))
            if child.is_alive():
                child.kill()
                child.join()
    return [_checked(answer) for answer in answers]


def _run(job: Callable[[int, Together], Any], number: int, start: Any, writer: Connection) -> None:
    """Be the child."""
    try:
        answer: Any = job(number, lambda: start.wait(SECONDS / 2))
    except BaseException:
        answer = Broken(traceback.format_exc())
        start.abort()  # nobody waits for who will not come; those who have started do not notice
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


def _checked(answer: Any) -> Any:
    if isinstance(answer, Broken):
        raise answer
    return answer
