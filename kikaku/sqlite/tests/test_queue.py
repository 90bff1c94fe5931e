"""The queue is first come, first served, also when a writer is killed or suspended, or its file removed."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from kikaku.sqlite.queue import HEADER, SUPPORTED, QueuePlace
from kikaku.testing import engine_missing

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def database(tmp_path: Path) -> str:
    if not SUPPORTED:
        engine_missing("this system has no locks of open files (Linux has them)")
    (tmp_path / "shop.sqlite3").touch()
    return str(tmp_path / "shop.sqlite3")


def tickets_taken(database: str) -> int:
    """Return the number of tickets that were taken so far."""
    file = Path(f"{database}-queue")
    content = file.read_bytes() if file.exists() else b""
    return int(HEADER.unpack(content)[0]) if content else 0


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait up to ten seconds for a condition."""
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


def in_process(database: str, during: Callable[[QueuePlace], None], timeout: float = 20) -> BaseProcess:
    """Start a process that enters, does something, and leaves; return when it has taken its ticket."""

    def run() -> None:
        queue = QueuePlace(database, timeout=timeout)
        queue.enter()
        during(queue)
        queue.leave()

    before = tickets_taken(database)
    process: BaseProcess = FORK.Process(target=run, daemon=True)
    process.start()
    wait_until(lambda: tickets_taken(database) > before)
    return process


def forever(_queue: QueuePlace) -> None:
    time.sleep(60)


def entered_within(database: str, *, timeout: float = 20) -> float:
    """Enter and leave the queue, and return the seconds of waiting."""
    queue = QueuePlace(database, timeout=timeout)
    began = time.monotonic()
    queue.enter()
    took = time.monotonic() - began
    queue.close()
    return took


def test_threads_and_processes_enter_in_the_order_of_their_arrival(database: str, tmp_path: Path) -> None:
    turns = tmp_path / "turns"

    def record(number: int) -> Callable[[QueuePlace], None]:
        def during(_queue: QueuePlace) -> None:
            with turns.open("a") as file:
                file.write(f"{number} ")

        return during

    def thread(number: int) -> threading.Thread:
        def run() -> None:
            queue = QueuePlace(database, timeout=20)
            queue.enter()
            record(number)(queue)
            queue.close()

        before = tickets_taken(database)
        started = threading.Thread(target=run)
        started.start()
        wait_until(lambda: tickets_taken(database) > before)
        return started

    first = QueuePlace(database, timeout=20)
    first.enter()
    waiting: list[Any] = []
    for number in range(10):
        waiting.append(thread(number) if number % 2 else in_process(database, record(number)))
    first.leave()
    for one in waiting:
        one.join(10)
    assert turns.read_text().split() == [str(number) for number in range(10)]


def test_a_writer_that_returns_immediately_is_behind_one_that_waits(database: str) -> None:
    entered = FORK.Event()
    eager = QueuePlace(database, timeout=20)
    eager.enter()
    other = in_process(database, lambda _queue: entered.set())
    eager.leave()
    eager.enter()
    assert entered.is_set()
    eager.close()
    other.join(10)


def test_the_next_writer_follows_a_killed_one_immediately(database: str) -> None:
    holder = in_process(database, forever)
    holder.kill()
    assert entered_within(database) < 1


def test_a_killed_waiting_writer_does_not_block_those_behind_it(database: str) -> None:
    holder = QueuePlace(database, timeout=20)
    holder.enter()
    waiter = in_process(database, forever)
    entered = FORK.Event()
    behind = in_process(database, lambda _queue: entered.set())
    waiter.kill()
    waiter.join()
    assert not entered.is_set()
    holder.close()
    assert entered.wait(5)
    behind.join(10)


def test_a_forked_child_of_a_killed_writer_holds_no_ticket(database: str) -> None:
    children = FORK.SimpleQueue()

    def fork(_queue: QueuePlace) -> None:
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        children.put(child)
        time.sleep(60)

    holder = in_process(database, fork)
    child = children.get()
    try:
        holder.kill()
        holder.join()
        assert entered_within(database) < 1
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_suspended_writer_is_skipped_after_the_timeout(database: str) -> None:
    holder = in_process(database, forever)
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGSTOP)
    try:
        assert 0.3 <= entered_within(database, timeout=0.3) < 2
        assert entered_within(database, timeout=20) < 10  # the next writer does not wait again
    finally:
        holder.kill()


def test_one_connection_enters_once_and_may_leave_twice(database: str) -> None:
    queue = QueuePlace(database, timeout=1)
    queue.enter()
    queue.enter()
    assert tickets_taken(database) == 1
    queue.leave()
    queue.leave()
    assert entered_within(database) < 1
    queue.close()


def test_without_its_file_there_is_no_queue(database: str) -> None:
    Path(f"{database}-queue").mkdir()
    queue = QueuePlace(database, timeout=1)
    queue.enter()
    assert queue.ticket is None
    queue.leave()


@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda file: file.write_bytes(b""), lambda file: file.write_bytes(b"x")]
)
def test_a_removed_or_damaged_file_blocks_no_writer(database: str, damage: Callable[[Path], object]) -> None:
    holder = QueuePlace(database, timeout=20)
    holder.enter()
    damage(Path(f"{database}-queue"))
    holder.leave()
    assert entered_within(database) < 1
    holder.enter()
    holder.close()


def test_its_file_has_the_permissions_of_the_database(database: str) -> None:
    Path(database).chmod(0o640)
    assert entered_within(database) < 1
    assert Path(f"{database}-queue").stat().st_mode & 0o777 == 0o640
