"""Jobs that run at the same time in threads of this process."""

import threading
from collections.abc import Callable

from django.db import connections


def run_in_threads(*jobs: Callable[[], object]) -> list[object]:
    """Run jobs at the same time, each on its own connection; return results or raised exceptions."""
    results: list[object] = [None] * len(jobs)
    start = threading.Barrier(len(jobs))

    def run(index: int, job: Callable[[], object]) -> None:
        start.wait()
        try:
            results[index] = job()
        except Exception as error:
            results[index] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(index, job)) for index, job in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
