"""The page store in real web servers: two processes, eight connections, and never an old page after a commit's answer."""

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import transaction

from kikaku.testing.database import database_environment
from ledger.models import StockItem
from ledger.sales import stock
from shop.models import Variant
from shop.testing import build

SETTINGS = """
from kikaku.settings import *
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
"""


@pytest.fixture(scope="module")
def server(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Start the application as in production, with two worker processes, on the test database; give its port."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "trial_settings.py").write_text(SETTINGS)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "kikaku.wsgi:application"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "2", "--blocking-threads", "4"]
    environment = {
        **os.environ,
        **database_environment(),
        "DJANGO_SETTINGS_MODULE": "trial_settings",
        "PYTHONPATH": str(folder),
        "STOREFRONT_BASE_URL": f"http://127.0.0.1:{port}",
    }
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--no-ws", "--workers-kill-timeout", "2", "--log-level", "warning"],
            cwd=settings.BASE_DIR,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        until = time.monotonic() + 60
        while not answers(port):
            assert process.poll() is None and time.monotonic() < until, (folder / "log").read_text()
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture
def port(server: int, transactional_db: None) -> int:
    """Give the port of a server whose shop has one lamp in two variants."""
    build.variant(build.product(on_hand=40, price=10_000), "SKU-2", on_hand=40, price=90_000)
    return server


def answers(port: int) -> bool:
    """Say whether the server is there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Visitor:
    """One connection to the server, and so to one of its processes."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self.tag = ""

    def page(self, path: str = "/products/madoka/") -> str | None:
        """Return a page as a browser does that keeps it and asks whether it is still the same; None: it is."""
        self.connection.request("GET", path, headers={"If-None-Match": self.tag} if self.tag else {})
        answer = self.connection.getresponse()
        text = answer.read().decode()
        assert answer.status in (200, 304)
        self.tag = answer.headers["ETag"]
        return text if answer.status == 200 else None


def price_of(page: str) -> int:
    """Read the price of the first variant."""
    return int(
        page.split('class="of o1 first">', 1)[1].split("¥", 1)[1].split("<", 1)[0].strip().replace(",", "")
    )


def test_no_visitor_sees_an_old_price_after_the_commit_was_answered(port: int) -> None:
    committed = [10_000]
    wrong: list[object] = []
    seen = [0, 0]  # pages, "still the same"
    done = threading.Event()

    def visit() -> None:
        visitor, shown = Visitor(port), 0
        try:
            while not done.is_set():
                least = committed[0]  # its writer has its answer, our request begins now
                page = visitor.page()
                shown = price_of(page) if page is not None else shown
                seen[page is None] += 1
                if shown < least:
                    wrong.append((shown, least))
        except BaseException as error:
            wrong.append(error)

    visitors = [threading.Thread(target=visit) for _ in range(8)]
    for visitor in visitors:
        visitor.start()
    for price in range(10_001, 10_041):
        Variant.objects.filter(sku="SKU-madoka").update(price=price)
        committed[0] = price
        with transaction.atomic():  # shown to nobody
            Variant.objects.filter(sku="SKU-madoka").update(price=1)
            transaction.set_rollback(True)
        enough, until = sum(seen) + 16, time.monotonic() + 20
        while sum(seen) < enough and not wrong and time.monotonic() < until:
            time.sleep(0.002)
    done.set()
    for visitor in visitors:
        visitor.join()
    assert wrong == []
    assert min(seen) > 20, seen


def test_the_last_pieces_are_gone_on_every_page_at_once(port: int) -> None:
    item = StockItem.objects.get(sku="SKU-madoka")
    visitors = [Visitor(port) for _ in range(8)]
    stock.reserve({item.pk: 34})
    assert all("残り" not in str(visitor.page()) for visitor in visitors)
    for left in (5, 4, 3, 2, 1):
        stock.reserve({item.pk: 1})
        assert all(f"残り {left} 点" in str(visitor.page()) for visitor in visitors)
    stock.reserve({item.pk: 1})
    assert all("売り切れ" in str(visitor.page()) for visitor in visitors)
    assert all(visitor.page() is None for visitor in visitors)


def test_the_server_speaks_http_as_the_store_means_it(port: int) -> None:
    visitor = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    lengths = set()
    for method in ("HEAD", "GET", "HEAD"):
        visitor.request(method, "/", headers={"Accept-Encoding": "gzip"})
        answer = visitor.getresponse()
        body = answer.read()
        assert answer.status == 200 and answer.headers["Content-Encoding"] == "gzip"
        assert (len(body) == 0) == (method == "HEAD")
        lengths.add(answer.headers["Content-Length"])
    assert len(lengths) == 1
    visitor.request("GET", "/", headers={"If-None-Match": answer.headers["ETag"]})
    answer = visitor.getresponse()
    assert (answer.status, answer.read()) == (304, b"")
    visitor.request("GET", "/", headers={"Host": "poison.example"})
    answer = visitor.getresponse()
    assert answer.status == 400 and answer.read()
