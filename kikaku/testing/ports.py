"""Free ports for the servers that tests start."""

import os
import random
import socket
from contextlib import ExitStack, suppress

# below the ports that Linux gives to outgoing connections; each process of a parallel test run has its own
PORTS_OF_A_PROCESS = 500
FIRST_PORT = 20_000 + PORTS_OF_A_PROCESS * (
    int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 20
)


def find_free_ports() -> int:
    """Return a free port whose next two are free as well, for the stand-in and the D1 engine."""
    for _try in range(100):
        port = random.SystemRandom().randrange(FIRST_PORT, FIRST_PORT + PORTS_OF_A_PROCESS - 2)
        with ExitStack() as opened, suppress(OSError):
            for number in (port, port + 1, port + 2):
                opened.enter_context(socket.socket()).bind(("127.0.0.1", number))
            return port
    raise RuntimeError("no three neighbouring ports are free")
