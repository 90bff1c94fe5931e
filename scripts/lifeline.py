#!/usr/bin/env python3
"""Run a Python program that ends when its standard input closes, however the parent process ends.

    lifeline.py manage.py worker          a file
    lifeline.py -m kikaku.server          a module

The parent holds the other end of the pipe and never writes to it. The program leads a process group: its
descendants end with it.
"""

import os
import runpy
import signal
import sys
import threading
import time
from pathlib import Path

GRACE_SECONDS = 12.0  # until the group is killed; the worker ends itself after 10


def end_with_parent() -> None:
    """Wait until the standard input closes; then end this program, and after a while its whole group."""
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)  # this process ends its own children in order
    time.sleep(GRACE_SECONDS)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def main() -> None:
    """Run the program that the command line names as Python itself would."""
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    threading.Thread(target=end_with_parent, daemon=True).start()
    sys.path[0] = str(Path.cwd())
    if sys.argv[1] == "-m":
        sys.argv = sys.argv[2:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = sys.argv[1:]
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
