"""Pages against the floor: processor time of the server for each request, measured in turns against drift."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from bench.goods import Goods, queries
from bench.report import Figure
from bench.server import Answer, Ask, Connection, Server, ServerFailed, web

# What a browser sends; the floor gets the same.
BROWSER = {
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
    ask: Ask
    goal: float | None = None  # × floor
    status: int = 200
    rendered: bool = False  # by the shop without its page store
    renewed: bool = False  # the catalogue changes before each request, so that the page is rendered anew
    validated: bool = False  # asked with the ETag of the page as it stands


@dataclass(frozen=True)
class Runner:
    """A case with the server and the connection that it is asked through."""

    case: Case
    server: Server
    connection: Connection
    change_catalogue: Callable[[], None]

    def _once(self, ask: Ask, status: int) -> Answer:
        if self.case.renewed:
            self.change_catalogue()
        answer = self.connection.ask(ask)
        if answer.status != status:
            raise ServerFailed(f"{ask.method} {ask.path} answered {answer.status}, not {status}.")
        return answer

    def cost(self, requests: int) -> float | None:
        """Give the seconds of processor time that a request takes; where the system hides them, the median latency.

        None: the page carries no ETag to be asked with. Raises `ServerFailed` for an answer of another status.
        """
        ask, status = self.case.ask, self.case.status
        fresh = self._once(ask, status)  # not measured: what can be kept is kept from now on
        if self.case.validated:
            if "etag" not in fresh.headers:
                return None
            ask, status = replace(ask, headers={**ask.headers, "If-None-Match": fresh.headers["etag"]}), 304
        before = self.server.cpu_seconds()
        latencies = [self._once(ask, status).seconds for _request in range(requests)]
        after = self.server.cpu_seconds()
        if before is None or after is None:
            return median(latencies)
        return (after - before) / requests


def cases(goods: Goods) -> list[Case]:
    """Give what is compared with the floor, with the goals."""
    made = []
    for name, path, goal in (("product page", goods.product, 5.0), ("list page", goods.list, 10.0)):
        ask = Ask(path, headers=BROWSER)
        made += [
            Case(f"{name}, rendered each time", ask, goal, rendered=True),
            Case(f"{name}, after a price changed", ask, renewed=True),
            Case(f"{name}, stored", ask, 0.6),
            Case(f"{name}, 304", ask, 0.6, validated=True),
        ]
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    return [
        *made,
        Case("search", Ask(goods.search, headers=BROWSER), 8.0),
        Case("search, after a price changed", Ask(goods.search, headers=BROWSER), renewed=True),
        Case("add to cart", Ask(goods.add, "POST", BROWSER | form, goods.form), 1.5, status=303),
    ]


def measure(folder: Path, *, rounds: int, requests: int, say: Callable[[str], None]) -> Iterator[Figure]:
    """Measure each page in each of `rounds` with so many `requests`."""
    goods = Goods.find()
    with ExitStack() as stack:

        def runner(case: Case, server: Server) -> Runner:
            connection = server.connect()
            stack.callback(connection.close)
            return Runner(case, server, connection, goods.change)

        floor_server = stack.enter_context(web("bench.floor:application", log=folder / "floor.log"))
        shop = stack.enter_context(web("bench.shop:application", log=folder / "shop.log"))
        storeless = stack.enter_context(
            web("bench.shop:application", log=folder / "rendered.log", without=["page-store"])
        )
        floor = runner(Case("", Ask("/hello/", headers=BROWSER)), floor_server)
        runners = [runner(case, storeless if case.rendered else shop) for case in cases(goods)]
        for one in (floor, *runners):
            one.cost(requests)  # warms up
        costs: list[list[float | None]] = []
        for number in range(1, rounds + 1):
            say(f"pages: round {number} of {rounds}")
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
