"""Webhooks under load: real events of the stand-in, signed anew, over several connections at once."""

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
from bench.server import Ask, Server, web
from kikaku.sandbox import adapter
from ledger.testing import build

CONNECTIONS = 8
WARM_UP = 16  # events before those that are measured
RAW_SECONDS = 1.0
P99_MS = 50.0


def measure(folder: Path, *, payments: int, say: Callable[[str], None]) -> Iterator[Figure]:
    """Pay so many orders at the stand-in and send all their events to the shop."""
    bodies = events(payments, say)
    raw = raw_transactions()
    with web("kikaku.wsgi:application", log=folder / "shop.log") as shop:
        warm = min(WARM_UP, len(bodies) // 2)
        send(bodies[:warm], shop)
        bodies = bodies[warm:]
        say(f"webhooks: sending {len(bodies):,} events")
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
    yield Figure("event answered, p99", cuts[98] * 1000, "ms", P99_MS)


def events(payments: int, say: Callable[[str], None]) -> list[bytes]:
    """Place and pay orders through the real functions; give the bodies of Stripe's events, in their order."""
    sandbox = adapter.sandbox()
    line = build.line("BENCH-LAMP", on_hand=payments)
    for number in range(1, payments + 1):
        sandbox.pay(build.session_of(build.order([line])))
        if number % 100 == 0 or number == payments:
            say(f"webhooks: {number:,} of {payments:,} orders paid at the stand-in")
    bodies = []
    while deliveries := sandbox.pending_deliveries():
        for delivery in deliveries:
            bodies.append(delivery.body)
            sandbox.mark_delivered(delivery.event_id, 200)
    return bodies


def send(bodies: list[bytes], shop: Server) -> tuple[list[float], Counter[int], float]:
    """Send all events over so many connections. Gives seconds of each, how often each status came, seconds of all."""
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
                answer = line.ask(Ask("/webhooks/stripe", "POST", signed(body), body))
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
    """Sign a body as Stripe does, now."""
    moment = int(time.time())
    secret = settings.STRIPE_WEBHOOK_SECRETS[0].encode()
    digest = hmac.new(secret, f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return {"Content-Type": "application/json", "Stripe-Signature": f"t={moment},v1={digest}"}


def raw_transactions() -> float:
    """Give how many small transactions one writer commits in a second: what the engine can do without us."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bench_order (id INTEGER PRIMARY KEY, number TEXT UNIQUE, total INTEGER)")
        cursor.execute("CREATE TABLE bench_line (order_id INTEGER, sku TEXT, price INTEGER)")
        cursor.execute("CREATE TABLE bench_stock (id INTEGER PRIMARY KEY, reserved INTEGER)")
        cursor.execute("INSERT INTO bench_stock VALUES (1, 0)")
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < RAW_SECONDS:
            done += 1
            with transaction.atomic():
                cursor.execute("INSERT INTO bench_order VALUES (%s, %s, 11000)", [done, f"K-{done}"])
                cursor.execute("INSERT INTO bench_line VALUES (%s, 'A', 5500), (%s, 'B', 5500)", [done, done])
                cursor.execute("UPDATE bench_stock SET reserved = reserved + 1 WHERE id = 1")
        return done / (time.perf_counter() - began)
