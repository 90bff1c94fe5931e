"""What each cache of the shop saves: the same requests with all caches and without one of them, in turns."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from d1 import EngineUnavailable, temporary_engine

from bench.caches import CACHES, VARIABLE
from bench.d1 import Shop
from bench.goods import Goods
from bench.pages import Case, Runner, cases
from bench.report import Figure
from bench.server import web

CHANGED = ("product page, after a price changed", "list page, after a price changed")
# cache → the requests that it serves, by their names in `bench.pages.cases`
SERVED = {
    "page-store": ("product page, stored", "list page, stored"),
    "statements": (*CHANGED, "search", "add to cart"),
    "cards": (*CHANGED, "search"),
    "fragments": (*CHANGED, "search"),
    "navigation": CHANGED,
}
D1_CACHE, D1_ACT = "navigation", "product page, after its price changed"  # what it saves is a query


def measure(
    folder: Path, *, rounds: int, requests: int, repeats: int, progress: Callable[[str], None]
) -> Iterator[Figure]:
    """Yield what each cache saves, by `rounds` of `requests` requests; on D1 by `repeats` of one act."""
    goods = Goods.find()
    by_name = {case.name: case for case in cases(goods)}
    for cache in CACHES:
        progress(f"caches: {cache}")
        served = [by_name[name] for name in SERVED[cache]]
        yield from _compare(cache, served, goods, folder, rounds=rounds, requests=requests)
    with contextlib.suppress(EngineUnavailable):
        progress(f"caches: {D1_CACHE}, on D1")
        yield _compare_on_d1(folder, repeats=repeats)


def _compare(
    cache: str, served: list[Case], goods: Goods, folder: Path, *, rounds: int, requests: int
) -> Iterator[Figure]:
    """Measure the processor time of requests with and without a cache."""
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(web("bench.shop:door", log=folder / f"without-{off}.log", without=off))
            for off in ([], [cache])
        ]

        def runner(case: Case, place: int) -> Runner:
            connection = servers[place].connect()
            stack.callback(connection.close)
            return Runner(case, servers[place], connection, goods.change_price)

        pairs = {case.name: [runner(case, 0), runner(case, 1)] for case in served}
        for pair in pairs.values():
            for one in pair:
                one.cost(requests)  # warms up
        costs: dict[str, list[tuple[float, float]]] = {name: [] for name in pairs}
        for number in range(rounds):
            for name, pair in pairs.items():
                cost = [0.0, 0.0]
                for place in (0, 1) if number % 2 else (1, 0):
                    cost[place] = pair[place].cost(requests) or 0.0
                costs[name].append((cost[0], cost[1]))
    for name, measured in costs.items():
        label = name.replace(", after a price changed", " re-rendered")
        yield _saving(f"{cache}: {label}", measured)


def _compare_on_d1(folder: Path, *, repeats: int) -> Figure:
    """Measure the time of one act with and without the navigation, each on a D1 database of its own."""
    with temporary_engine(["full", "reduced"]) as engine, contextlib.ExitStack() as stack:
        shops = []
        for name, off in (("full", ""), ("reduced", D1_CACHE)):
            shops.append(Shop(folder / name, {**engine.environment(name), VARIABLE: off}))
            stack.callback(shops[-1].end)
            acts = shops[-1].run()
        number = next(place for place, act in enumerate(acts) if act["name"] == D1_ACT)
        answers: list[list[Any]] = [[shop.run(number) for shop in shops] for _repeat in range(repeats + 1)]
    warm = answers[1:]
    trips = [max(answer[place]["round_trips"] for answer in warm) for place in (0, 1)]
    seconds = [(full["seconds"], reduced["seconds"]) for full, reduced in warm]
    detail = f"; {trips[0]} round trips instead of {trips[1]}"
    return _saving(f"{D1_CACHE}: product page re-rendered, on D1", seconds, detail)


def _saving(name: str, measured: list[tuple[float, float]], detail: str = "") -> Figure:
    """Return the share that a cache saves, by the median of the rounds."""
    full, reduced = (1000 * median(pair[place] for pair in measured) for place in (0, 1))
    share = median(100 * (1 - with_it / without) for with_it, without in measured)
    return Figure(name, share, "% saved", note=f"{full:.2f} ms instead of {reduced:.2f} ms{detail}")
