"""A switch in front of a part of the shop: it takes the part away, or makes it slow, while processes run."""

import contextlib
import select
import socket
import struct
import threading
import time
from typing import Literal

Mode = Literal["up", "down", "silent", "slow"]
SLOW_SECONDS = 3.0  # before each first byte of an answer
PIECE = 65_536
NO_LINGER = struct.pack("ii", 1, 0)  # closing sends a reset, as a process that was killed does


class Switch:
    """A TCP proxy on 127.0.0.1: up forwards, down resets, silent accepts and never answers, slow waits."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.mode: Mode = "up"
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def turn(self, mode: Mode) -> None:
        """Change the mode; what is connected breaks off, but for silent, where it hangs."""
        self.mode = mode
        if mode != "silent":
            with self._lock:
                connections, self._open = self._open, set()
            for connection in connections:
                _reset(connection)

    def close(self) -> None:
        """Stop listening and break off what is connected."""
        self.turn("down")
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _address = self._listener.accept()
                if self.mode == "down":
                    _reset(caller)
                    continue
                threading.Thread(target=self._forward, args=(caller,), daemon=True).start()

    def _forward(self, caller: socket.socket) -> None:
        with self._lock:
            self._open.add(caller)
        part = None
        try:
            while self.mode == "silent":
                if select.select([caller], [], [], 0.05)[0] and not caller.recv(1, socket.MSG_PEEK):
                    return
                time.sleep(0.05)
            part = socket.create_connection(("127.0.0.1", self.target_port), timeout=10)
            with self._lock:
                self._open.add(part)
            self._pump(caller, part)
        except (OSError, ValueError):
            pass
        finally:
            for connection in filter(None, (caller, part)):
                with self._lock:
                    self._open.discard(connection)
                _reset(connection)

    def _pump(self, caller: socket.socket, part: socket.socket) -> None:
        """Forward in both directions until one side ends."""
        asked = False
        while True:
            ready, _, _ = select.select([caller, part], [], [], 0.1)
            if self.mode == "silent":
                time.sleep(0.05)
                continue
            for source in ready:
                piece = source.recv(PIECE)
                if not piece:
                    return
                if source is caller:
                    asked = True
                elif asked and self.mode == "slow":
                    asked = False
                    time.sleep(SLOW_SECONDS)
                (part if source is caller else caller).sendall(piece)


def _reset(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    with contextlib.suppress(OSError):
        connection.close()
