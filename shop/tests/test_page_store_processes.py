"""The page store in two server processes: no connection gets an outdated page after a commit."""

import http.client
import threading
import time
from collections.abc import Iterator

import pytest
from django.db import transaction

from kikaku.testing.serving import served
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
    """Serve the application with two worker processes on the test database; yield the port."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "trial_settings.py").write_text(SETTINGS)
    with served(folder, settings="trial_settings", options=["--workers", "2"]) as server:
        yield server.port


@pytest.fixture
def port(server: int, transactional_db: None) -> int:
    """Return the port of a server whose shop has one product with two variants."""
    build.variant(build.product(on_hand=40, price=10_000), "SKU-2", on_hand=40, price=90_000)
    return server


class Visitor:
    """One connection to one of the server's processes."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self.tag = ""

    def page(self, path: str = "/products/madoka/") -> str | None:
        """Return a page as a revalidating browser gets it; None if it is unchanged."""
        self.connection.request("GET", path, headers={"If-None-Match": self.tag} if self.tag else {})
        answer = self.connection.getresponse()
        text = answer.read().decode()
        assert answer.status in (200, 304)
        self.tag = answer.headers["ETag"]
        return text if answer.status == 200 else None


def price_of(page: str) -> int:
    """Return the price of the first variant."""
    return int(
        page.split('class="of o1 first">', 1)[1].split("¥", 1)[1].split("<", 1)[0].strip().replace(",", "")
    )


def test_no_visitor_gets_an_outdated_price_after_the_commit(port: int) -> None:
    committed = [10_000]
    wrong: list[object] = []
    seen = [0, 0]  # pages, 304s
    done = threading.Event()

    def visit() -> None:
        visitor, shown = Visitor(port), 0
        try:
            while not done.is_set():
                least = committed[0]  # committed before this request
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
        with transaction.atomic():  # never shown
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


def test_the_last_pieces_are_sold_out_on_every_page_at_once(port: int) -> None:
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


def test_the_web_server_sends_the_responses_of_the_store(port: int) -> None:
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
