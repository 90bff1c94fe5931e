"""The front door with a clock that jumps and clients that are lists: no socket, no waiting, no database."""

import asyncio
import selectors
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from kikaku import door as front
from kikaku.door import Door
from kikaku.pools import Pool

PATIENCE = 20.0
UPLOAD = "/admin/shop/product/7/change/"
Part = tuple[float, bytes]  # seconds to wait before the bytes come


class Selector(selectors.DefaultSelector):
    """A selector that moves the clock to the next timer instead of waiting, unless threads are at work."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.threads_work: Callable[[], bool] = lambda: False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; if nothing is, move the clock."""
        ready = super().select(0)
        while not ready and timeout != 0 and self.threads_work():
            ready = super().select(0.001)
        if not ready and timeout:
            self.now += timeout
        return ready


class Loop(asyncio.SelectorEventLoop):
    """An event loop with a clock that jumps."""

    def __init__(self) -> None:
        self.selector = Selector()
        super().__init__(self.selector)

    def time(self) -> float:
        """Return the seconds of its own clock."""
        return self.selector.now


class Client:
    """A client whose body comes in parts. It stands for granian's scope and protocol."""

    def __init__(
        self,
        method: str = "POST",
        path: str = "/contact/",
        parts: Iterable[Part] = (),
        *,
        length: int | None = None,
        query: str = "",
        end: str = "whole",
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        self.parts = parts
        self.end = end  # "whole", "broken" or "silent"
        self.response: tuple[int, dict[str, str], bytes] | None = None
        self.at = 0.0
        self.sent = 0
        has_body = bool(parts) or end != "whole"
        framing = [("transfer-encoding", "chunked")] if has_body and length is None else []
        framing += [("content-length", str(length))] if length is not None else []
        self.all_headers = [("host", "testserver"), *framing, *headers]
        self.scope: Any = SimpleNamespace(
            method=method,
            path=path,
            query_string=query,
            http_version="1.1",
            scheme="http",
            server="127.0.0.1:8000",
            client="127.0.0.1:50000",
            headers=self,
        )

    def get(self, name: str) -> str | None:
        return dict(self.all_headers).get(name)

    def __contains__(self, name: str) -> bool:
        return name in dict(self.all_headers)

    def items(self) -> list[tuple[str, str]]:
        return self.all_headers

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for seconds, part in self.parts:
            await asyncio.sleep(seconds)
            self.sent += len(part)
            yield part
        if self.end == "silent":
            await asyncio.Event().wait()
        for _end in range(2 if self.end == "broken" else 1):  # as granian ends a body
            yield b""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        assert self.response is None, "two responses"
        self.response = status, dict(headers), body

    @property
    def status(self) -> int:
        assert self.response is not None
        return self.response[0]


class Application:
    """A WSGI application that keeps its requests; paths with a gate wait until it opens."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.gates: dict[str, threading.Event] = {}

    def __call__(self, environ: dict[str, Any], start: Any) -> list[bytes]:
        body = environ["wsgi.input"].read()
        self.requests.append(environ)
        self.bodies.append(body)
        gate = self.gates.get(environ["PATH_INFO"])
        if gate is not None:
            assert gate.wait(20)
        if environ["PATH_INFO"] == "/error/":
            raise SystemExit("not an Exception")
        start("200 OK", [("Content-Type", "text/plain")])
        return [b"here"]


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def application() -> Application:
    return Application()


class WatchedPool(Pool):
    """A pool that keeps its jobs: one that a thread is just taking is in no queue, and not yet running."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.jobs: list[Any] = []

    def put(self, job: Any) -> None:
        """Add a request to the queue."""
        self.jobs.append(job)
        super().put(job)


@pytest.fixture
def door(loop: Loop, application: Application) -> Iterator[Door]:
    door = Door(application, patience=PATIENCE, clock=loop.time)
    pools = {name: WatchedPool(name, threads, clock=loop.time) for name, threads in front.THREADS.items()}
    door.pools = {**pools}
    door.__rsgi_init__(loop)
    loop.selector.threads_work = lambda: any(
        not job.done.done() for pool in pools.values() for job in pool.jobs
    )
    yield door
    assert door.held == 0
    wait_until_idle(door)


def wait_until_idle(door: Door) -> None:
    """Wait for threads that have sent a response and are about to say so."""
    deadline = time.monotonic() + 10
    while any(pool.oldest_seconds() for pool in door.pools.values()):
        assert time.monotonic() < deadline
        time.sleep(0.001)


def serve(door: Door, *clients: Client) -> Client:
    """Let the door answer the clients, all at once; return the first. Each keeps when it was answered."""

    async def one(client: Client) -> None:
        await door.__rsgi__(client.scope, client)
        client.at = door.loop.time()

    async def all_of_them() -> None:
        await asyncio.gather(*map(one, clients))

    door.loop.run_until_complete(all_of_them())
    return clients[0]


# ── Bodies ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_client_that_announces_a_body_and_sends_four_bytes_is_answered_after_20_seconds(
    door: Door, application: Application
) -> None:
    client = serve(door, Client(parts=[(0, b"name")], length=5000, end="silent"))
    assert (client.status, client.at) == (408, 20)
    assert client.response is not None and client.response[1]["Connection"] == "close"
    assert application.requests == []


def test_a_byte_every_five_seconds_buys_no_time(door: Door) -> None:
    client = serve(door, Client(parts=[(5, b"x")] * 100, length=5000))
    assert (client.status, client.at) == (408, 20)


def test_a_picture_of_2_megabytes_may_take_a_minute(door: Door, application: Application) -> None:
    client = serve(door, Client(path=UPLOAD, parts=[(0.6, b"p" * 20_000)] * 100, length=2_000_000))
    assert client.status == 200
    assert client.at == pytest.approx(60)
    assert application.bodies == [b"p" * 2_000_000]


def test_a_form_of_60_kilobytes_may_take_a_minute(door: Door) -> None:
    client = serve(door, Client(parts=[(1, b"x" * 1000)] * 60, length=60_000))
    assert (client.status, client.at) == (200, 60)


def test_2_megabytes_at_once_buy_no_more_time_than_10_kilobytes(door: Door) -> None:
    client = serve(door, Client(path=UPLOAD, parts=[(0, b"p" * 2_000_000)], length=4_000_000, end="silent"))
    assert (client.status, client.at) == (408, 20)


def test_no_body_may_take_more_than_300_seconds(door: Door) -> None:
    client = serve(door, Client(path=UPLOAD, parts=[(19, b"x" * 10_000)] * 100, length=1_000_000))
    assert (client.status, client.at) == (408, 300)


@pytest.mark.parametrize(("length", "sent"), [(100, 24), (None, 24), (None, 0), (10, 11)])
def test_a_body_that_breaks_off_is_refused_and_nothing_is_done(
    door: Door, application: Application, length: int | None, sent: int
) -> None:
    client = serve(door, Client(path="/cart/add/", parts=[(0, b"x" * sent)], length=length, end="broken"))
    assert client.status == 400
    assert application.requests == []


def test_a_body_without_a_length_arrives_whole(door: Door, application: Application) -> None:
    assert serve(door, Client(parts=[(0, b"a=1&"), (0, b"b=2")])).status == 200
    assert application.bodies == [b"a=1&b=2"]
    assert application.requests[0]["CONTENT_LENGTH"] == "7"


LIMITS = [("/contact/", 256_000), ("/webhooks/stripe", 1_000_001), (UPLOAD, 12_000_000)]


@pytest.mark.parametrize(("path", "limit"), LIMITS)
@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_may_be_as_large_as_its_limit_and_no_larger(
    door: Door, application: Application, path: str, limit: int, chunked: bool
) -> None:
    for size, status in ((limit, 200), (limit + 1, 413)):
        parts = [(0.0, b"x" * min(64_000, size - at)) for at in range(0, size, 64_000)]
        client = serve(door, Client(path=path, parts=parts, length=None if chunked else size))
        assert client.status == status
        assert client.sent == size  # a client that still sends would not read the refusal
    assert [len(body) for body in application.bodies] == [limit]


@pytest.mark.parametrize("path", ["/contact/", "/checkout/", "/cart/add/", "/admin/login/", "/en/contact/"])
def test_a_file_of_2_megabytes_is_refused_where_no_form_takes_a_file(door: Door, path: str) -> None:
    parts = [(0.0, b"x" * 100_000)] * 20
    assert serve(door, Client(path=path, parts=parts, length=2_000_000)).status == 413


def test_an_endless_body_is_refused_after_16_megabytes_and_costs_no_memory(door: Door) -> None:
    held = []

    def endless() -> Iterator[Part]:
        while True:
            held.append(door.held)
            yield 0, b"x" * 64_000

    client = serve(door, Client(parts=endless()))
    assert client.status == 413
    assert client.sent <= 16_064_000
    assert max(held) <= 256_000 and held[-1] == 0
    assert serve(door, Client(parts=endless(), length=1_000_000_000)).sent == 0


def test_a_body_is_in_memory_once_while_it_is_answered(door: Door) -> None:
    taken = []

    def measure(environ: Any, start: Any) -> list[bytes]:
        taken.append(tracemalloc.get_traced_memory()[0])
        start("200 OK", [])
        return []

    door.application = measure
    tracemalloc.start()
    try:
        parts = ((0.0, b"p" * 20_000) for _part in range(100))
        assert serve(door, Client(path=UPLOAD, parts=parts, length=2_000_000)).status == 200
    finally:
        tracemalloc.stop()
    assert 2_000_000 < taken[0] < 3_000_000


def test_stalled_uploads_leave_room_for_small_forms(door: Door, application: Application) -> None:
    stalled = [
        Client(path=UPLOAD, parts=[(0, b"p" * 2_000_000)], length=4_000_000, end="silent")
        for _client in range(60)
    ]
    form = Client(parts=[(10, b"x" * 60_000)], length=60_000)
    webhook = Client(path="/webhooks/stripe", parts=[(10, b"x" * 5_000)], length=5_000)
    serve(door, *stalled, form, webhook)
    assert (form.status, form.at) == (200, 10)
    assert (webhook.status, webhook.at) == (200, 10)
    statuses = [client.status for client in stalled]
    assert set(statuses) == {408, 503} and statuses.count(408) == 32


# ── Pools ────────────────────────────────────────────────────────────────────────────────────────────────

KINDS = {
    "health": Client("GET", "/health"),
    "webhooks": Client("POST", "/webhooks/stripe"),
    "staff": Client("GET", "/admin/"),
    "stripe": Client("POST", "/checkout/place/"),
    "search": Client("GET", "/search/", query="q=led"),
    "pages": Client("GET", "/"),
    "forms": Client("POST", "/cart/add/"),
}


def clone(client: Client) -> Client:
    return Client(client.scope.method, client.scope.path, query=client.scope.query_string)


def test_each_kind_has_an_example() -> None:
    assert KINDS.keys() == front.THREADS.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_requests_of_one_kind_that_wait_delay_no_other_kind(
    door: Door, loop: Loop, application: Application, kind: str
) -> None:
    gate = application.gates[KINDS[kind].scope.path] = threading.Event()
    waiting = [clone(KINDS[kind]) for _client in range(front.THREADS[kind] + 3)]
    others = [clone(client) for name, client in KINDS.items() if name != kind]

    async def scene() -> None:
        tasks = [loop.create_task(door.__rsgi__(client.scope, client)) for client in waiting]
        await asyncio.gather(*(door.__rsgi__(client.scope, client) for client in others))
        assert [client.status for client in others] == [200] * len(others)
        assert not any(client.response for client in waiting)
        gate.set()
        await asyncio.gather(*tasks)

    loop.run_until_complete(scene())
    assert [client.status for client in waiting] == [200] * len(waiting)


def test_what_waits_for_15_seconds_is_refused_and_not_begun(
    door: Door, loop: Loop, application: Application
) -> None:
    gate = application.gates["/cart/add/"] = threading.Event()
    clients = [Client(path="/cart/add/") for _client in range(front.THREADS["forms"] + 2)]
    jobs_are_there = loop.selector.threads_work
    loop.selector.threads_work = lambda: len(application.requests) < front.THREADS["forms"]

    async def scene() -> None:
        tasks = [loop.create_task(door.__rsgi__(client.scope, client)) for client in clients]
        await asyncio.sleep(16)
        refused = [client for client in clients if client.response]
        assert [client.status for client in refused] == [503, 503]
        assert refused[0].response is not None and refused[0].response[1]["Retry-After"] == "10"
        loop.selector.threads_work = jobs_are_there
        gate.set()
        await asyncio.gather(*tasks)

    loop.run_until_complete(scene())
    assert len(application.requests) == front.THREADS["forms"]
    del application.gates["/cart/add/"]
    assert serve(door, *(Client(path="/cart/add/") for _client in range(9))).status == 200


def test_a_pool_hangs_when_a_request_is_unanswered_for_more_than_a_minute(
    door: Door, loop: Loop, application: Application
) -> None:
    gate = application.gates["/"] = threading.Event()
    client = Client("GET", "/")
    loop.selector.threads_work = lambda: not application.requests

    async def scene() -> None:
        task = loop.create_task(door.__rsgi__(client.scope, client))
        await asyncio.sleep(60)
        assert door.hung_pools() == []
        await asyncio.sleep(1)
        assert door.hung_pools() == ["pages"]
        loop.selector.threads_work = lambda: client.response is None
        gate.set()
        await task

    loop.run_until_complete(scene())
    wait_until_idle(door)
    assert door.hung_pools() == []


def test_an_application_that_fails_costs_no_thread(door: Door) -> None:
    failing = [Client("GET", "/error/") for _client in range(10)]
    serve(door, *failing)
    assert {client.status for client in failing} == {500}
    assert serve(door, Client("GET", "/")).status == 200


ROUTES = [
    ("GET", "/", "pages"),
    ("HEAD", "/en/", "pages"),
    ("GET", "/products/?light=warm&page=2", "pages"),
    ("GET", "/healthy/", "pages"),
    ("GET", "/static/shop.css", "pages"),
    ("GET", "/orders/abc/", "pages"),
    ("GET", "/checkout/place/", "pages"),
    ("GET", "/administration/", "pages"),
    ("GET", "/health?x=1", "health"),
    ("POST", "/health", "health"),
    ("GET", "/search/?q=led", "search"),
    ("GET", "/en/search/", "search"),
    ("GET", "/products/?page=2&q=led", "search"),
    ("HEAD", "/categories/desk/?%71=led", "search"),
    ("POST", "/webhooks/stripe", "webhooks"),
    ("GET", "/admin/", "staff"),
    ("GET", "/admin", "staff"),
    ("POST", "/en/admin/login/", "staff"),
    ("POST", "/checkout/place/", "stripe"),
    ("POST", "/en/orders/abc/pay/", "stripe"),
    ("POST", "/orders/abc/cancel/", "stripe"),
    ("GET", "/orders/abc/thanks/", "stripe"),
    ("POST", "/orders/abc/again/", "forms"),
    ("POST", "/checkout/", "forms"),
    ("POST", "/cart/add/", "forms"),
    ("OPTIONS", "/", "forms"),
    ("POST", "/\n/admin/", "forms"),
]


@pytest.mark.parametrize(("method", "address", "pool"), ROUTES)
def test_each_request_goes_to_the_pool_of_its_kind(
    door: Door, loop: Loop, application: Application, method: str, address: str, pool: str
) -> None:
    names: list[str] = []

    def keep_thread(environ: Any, start: Any) -> list[bytes]:
        names.append(threading.current_thread().name)
        return application(environ, start)

    door.application = keep_thread
    path, _mark, query = address.partition("?")
    assert serve(door, Client(method, path, query=query)).status == 200
    assert names[0].rpartition("-")[0] == pool


# ── What the application sees ────────────────────────────────────────────────────────────────────────────


def test_the_application_gets_the_request_as_wsgi_has_it(door: Door, application: Application) -> None:
    serve(
        door,
        Client(
            "POST",
            "/検索/",
            [(0, b"a=1")],
            length=3,
            query="q=%20x",
            headers=[
                ("content-type", "text/plain"),
                ("cookie", "a=1"),
                ("cookie", "b=2"),
                ("x-two", "1"),
                ("x-two", "2"),
                ("cf-connecting-ip", "192.0.2.1"),
                ("cf_connecting_ip", "192.0.2.66"),
                ("x_kikaku_edge", "forged"),
            ],
        ),
    )
    environ = application.requests[0]
    headers = {name: value for name, value in environ.items() if name.startswith(("HTTP_", "CONTENT_"))}
    assert headers == {
        "HTTP_HOST": "testserver",
        "CONTENT_LENGTH": "3",
        "CONTENT_TYPE": "text/plain",
        "HTTP_COOKIE": "a=1; b=2",
        "HTTP_X_TWO": "1,2",
        "HTTP_CF_CONNECTING_IP": "192.0.2.1",
    }
    assert environ["PATH_INFO"].encode("latin-1").decode() == "/検索/"
    assert environ["QUERY_STRING"] == "q=%20x"
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("127.0.0.1", "8000")
    assert environ["kikaku.door"] is door
