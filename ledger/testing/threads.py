"""Jobs that run at the same time in threads of this process."""

import threading
from collections.abc import Callable

from django.db import connections


def in_parallel(*jobs: Callable[[], object]) -> list[object]:
    """Run jobs at the same time, each on its own connection; results or the exceptions they raised."""
    results: list[object] = [None] * len(jobs)
    start = threading.Barrier(len(jobs))

    def run(position: int, job: Callable[[], object]) -> None:
        start.wait()
        try:
            results[position] = job()
        except Exception as error:
            results[position] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(at, job)) for at, job in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
