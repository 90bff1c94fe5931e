"""Pages against the floor: processor time of the server for a request, measured in turns."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from bench.goods import Goods, queries
from bench.report import Figure
from bench.server import Connection, Request, Response, Server, ServerFailed, web

# The headers of a browser; the floor gets the same.
BROWSER_HEADERS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "ja,en-US;q=0.7,en;q=0.3",
    "Accept-Encoding": "gzip, deflate, br",
    "Sec-Fetch-Site": "same-origin",
}


@dataclass(frozen=True)
class Case:
    """A request that is compared with the floor."""

    name: str
    request: Request
    goal: float | None = None  # × floor
    status: int = 200
    rendered: bool = False  # without the page store
    changed: bool = False  # a price changes before each request, so the page is rendered again
    conditional: bool = False  # sent with the ETag of the current page


@dataclass(frozen=True)
class Runner:
    """A case with its server and connection."""

    case: Case
    server: Server
    connection: Connection
    change_price: Callable[[], None]

    def _once(self, request: Request, status: int) -> Response:
        if self.case.changed:
            self.change_price()
        answer = self.connection.send(request)
        if answer.status != status:
            raise ServerFailed(f"{request.method} {request.path} answered {answer.status}, not {status}.")
        return answer

    def cost(self, requests: int) -> float | None:
        """Return the seconds of processor time of a request; the median latency where it is not available.

        None if the page of a conditional request has no ETag. Raises `ServerFailed` for another status.
        """
        request, status = self.case.request, self.case.status
        fresh = self._once(request, status)  # not measured: it fills the caches
        if self.case.conditional:
            if "etag" not in fresh.headers:
                return None
            request, status = (
                replace(request, headers={**request.headers, "If-None-Match": fresh.headers["etag"]}),
                304,
            )
        before = self.server.cpu_seconds()
        latencies = [self._once(request, status).seconds for _request in range(requests)]
        after = self.server.cpu_seconds()
        if before is None or after is None:
            return median(latencies)
        return (after - before) / requests


def cases(goods: Goods) -> list[Case]:
    """Return the requests that are compared with the floor, with their goals."""
    made = []
    for name, path, goal in (("product page", goods.product, 5.0), ("list page", goods.list, 10.0)):
        request = Request(path, headers=BROWSER_HEADERS)
        made += [
            Case(f"{name}, rendered each time", request, goal, rendered=True),
            Case(f"{name}, after a price changed", request, changed=True),
            Case(f"{name}, stored", request, 0.6),
            Case(f"{name}, 304", request, 0.6, conditional=True),
        ]
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    return [
        *made,
        Case("search", Request(goods.search, headers=BROWSER_HEADERS), 8.0),
        Case("search, after a price changed", Request(goods.search, headers=BROWSER_HEADERS), changed=True),
        Case("add to cart", Request(goods.add, "POST", BROWSER_HEADERS | form, goods.form), 1.5, status=303),
    ]


def measure(folder: Path, *, rounds: int, requests: int, progress: Callable[[str], None]) -> Iterator[Figure]:
    """Yield the cost of each page, by `rounds` rounds with `requests` requests each."""
    goods = Goods.find()
    with ExitStack() as stack:

        def runner(case: Case, server: Server) -> Runner:
            connection = server.connect()
            stack.callback(connection.close)
            return Runner(case, server, connection, goods.change_price)

        floor_server = stack.enter_context(web("bench.floor:door", log=folder / "floor.log"))
        shop = stack.enter_context(web("bench.shop:door", log=folder / "shop.log"))
        storeless = stack.enter_context(
            web("bench.shop:door", log=folder / "rendered.log", without=["page-store"])
        )
        floor = runner(Case("", Request("/hello/", headers=BROWSER_HEADERS)), floor_server)
        runners = [runner(case, storeless if case.rendered else shop) for case in cases(goods)]
        for one in (floor, *runners):
            one.cost(requests)  # warms up
        costs: list[list[float | None]] = []
        for number in range(1, rounds + 1):
            progress(f"pages: round {number} of {rounds}")
            costs.append([one.cost(requests) for one in (floor, *runners)])
    floors, *columns = zip(*costs, strict=True)
    yield Figure(
        "bare view behind the shop's middleware",
        1000 * median(cost for cost in floors if cost),
        "ms",
        note="the floor",
    )
    for one, column in zip(runners, columns, strict=True):
        pairs = [(cost, bottom) for cost, bottom in zip(column, floors, strict=True) if cost and bottom]
        ratio = median(cost / bottom for cost, bottom in pairs) if pairs else None
        note = (
            f"{1000 * median(cost for cost, _bottom in pairs):.2f} ms"
            if pairs
            else "the page carries no ETag"
        )
        yield Figure(one.case.name, ratio, "× floor", one.case.goal, note)
    yield from queries(goods)
