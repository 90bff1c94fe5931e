"""Webhooks under load: events of the stand-in, signed again, over several connections."""

import hashlib
import hmac
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import quantiles

from django.conf import settings
from django.db import connection, transaction

from bench.report import Figure
from bench.server import Request, Server, web
from kikaku.sandbox import adapter
from ledger.testing import build

CONNECTIONS = 8
WARM_UP_EVENTS = 16  # events before those that are measured
RAW_TRANSACTION_SECONDS = 1.0
GOAL_P99_MILLISECONDS = 50.0


def measure(folder: Path, *, payments: int, progress: Callable[[str], None]) -> Iterator[Figure]:
    """Pay `payments` orders at the stand-in, send all their events to the shop and yield the figures."""
    bodies = events(payments, progress)
    raw = raw_transactions()
    with web("kikaku.rsgi:door", log=folder / "shop.log") as shop:
        warm = min(WARM_UP_EVENTS, len(bodies) // 2)
        send(bodies[:warm], shop)
        bodies = bodies[warm:]
        progress(f"webhooks: sending {len(bodies):,} events")
        before = shop.cpu_seconds()
        latencies, statuses, seconds = send(bodies, shop)
        after = shop.cpu_seconds()
    rate = len(bodies) / seconds
    cuts = quantiles(latencies, n=100, method="inclusive")
    answers = ", ".join(f"{number:,} × {status}" for status, number in sorted(statuses.items()))
    yield Figure(
        "raw transactions of a single writer", raw, "/s", note="an order, two lines, a piece of stock"
    )
    yield Figure("events handled", rate, "/s", note=f"answers: {answers}")
    yield Figure("raw transactions ÷ events", raw / rate, "×")
    if before is not None and after is not None:
        cost = (after - before) / len(bodies)
        yield Figure("event handled, processor time", cost * 1000, "ms", note="of the server")
    yield Figure("event answered, p50", cuts[49] * 1000, "ms")
    yield Figure("event answered, p95", cuts[94] * 1000, "ms")
    yield Figure("event answered, p99", cuts[98] * 1000, "ms", GOAL_P99_MILLISECONDS)


def events(payments: int, progress: Callable[[str], None]) -> list[bytes]:
    """Place and pay orders with the domain functions; return the bodies of Stripe's events in order."""
    sandbox = adapter.sandbox()
    line = build.line("BENCH-LAMP", on_hand=payments)
    for number in range(1, payments + 1):
        sandbox.pay(build.session_of(build.order([line])))
        if number % 100 == 0 or number == payments:
            progress(f"webhooks: {number:,} of {payments:,} orders paid at the stand-in")
    bodies = []
    while deliveries := sandbox.pending_deliveries():
        for delivery in deliveries:
            bodies.append(delivery.body)
            sandbox.mark_delivered(delivery.event_id, 200)
    return bodies


def send(bodies: list[bytes], shop: Server) -> tuple[list[float], Counter[int], float]:
    """Send all events over all connections; return the seconds of each, counts by status, total seconds."""
    waiting, latencies = deque(bodies), deque[float]()
    statuses: Counter[int] = Counter()
    counting = threading.Lock()

    def deliver() -> None:
        line = shop.connect()
        try:
            while True:
                try:
                    body = waiting.popleft()
                except IndexError:
                    return
                answer = line.send(Request("/webhooks/stripe", "POST", signed(body), body))
                latencies.append(answer.seconds)
                with counting:
                    statuses[answer.status] += 1
        finally:
            line.close()

    threads = [threading.Thread(target=deliver) for _connection in range(CONNECTIONS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return list(latencies), statuses, time.perf_counter() - began


def signed(body: bytes) -> dict[str, str]:
    """Return the headers of an event, signed as Stripe does."""
    moment = int(time.time())
    secret = settings.STRIPE_WEBHOOK_SECRETS[0].encode()
    digest = hmac.new(secret, f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return {"Content-Type": "application/json", "Stripe-Signature": f"t={moment},v1={digest}"}


def raw_transactions() -> float:
    """Return how many small transactions a single writer commits per second: the limit of the engine."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bench_order (id INTEGER PRIMARY KEY, number TEXT UNIQUE, total INTEGER)")
        cursor.execute("CREATE TABLE bench_line (order_id INTEGER, sku TEXT, price INTEGER)")
        cursor.execute("CREATE TABLE bench_stock (id INTEGER PRIMARY KEY, reserved INTEGER)")
        cursor.execute("INSERT INTO bench_stock VALUES (1, 0)")
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < RAW_TRANSACTION_SECONDS:
            done += 1
            with transaction.atomic():
                cursor.execute("INSERT INTO bench_order VALUES (%s, %s, 11000)", [done, f"K-{done}"])
                cursor.execute("INSERT INTO bench_line VALUES (%s, 'A', 5500), (%s, 'B', 5500)", [done, done])
                cursor.execute("UPDATE bench_stock SET reserved = reserved + 1 WHERE id = 1")
        return done / (time.perf_counter() - began)
