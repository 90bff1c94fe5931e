"""A night in which much fails, played on a running shop; `make night` prints it."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from operator import eq
from typing import Any

from django.utils import timezone, translation

from kikaku import days
from kikaku.sandbox import adapter
from ledger.closing import daily_close
from ledger.closing.verification import verify
from ledger.models import DailyClose, Order, OutgoingMail, StripeEvent
from ledger.models.orders import OrderStatus
from ops.alerts.kinds import KINDS
from ops.models import Alert
from ops.testing.house import SKU, House
from ops.testing.outside import wait_for
from shop.testing import build

HEARTBEAT_SECONDS = 240  # two minutes of silence, then a look of the watch
JOB_SECONDS = 150  # a job runs every minute
TOLD = ("worker_dead", "close_failed", "database_down")  # what Slack is told in this night, each once


class Night:
    """The log of the night, and what did not hold."""

    def __init__(self, house: House, say: Callable[[str], None]) -> None:
        self.house = house
        self.failures: list[str] = []
        self._began = time.monotonic()
        self._say = say

    def say(self, text: str) -> None:
        """Print a line with the minutes and seconds since the beginning."""
        seconds = int(time.monotonic() - self._began)
        self._say(f"{seconds // 60:2}:{seconds % 60:02}  {text}")

    def check(self, what: str, holds: Callable[[], Any], *, seconds: float = 0.0) -> None:
        """Print whether something holds, at the latest after `seconds`."""
        found = bool(wait_for(holds, seconds=seconds))
        self.say(f"{'      ok:' if found else '  NOT SO:'} {what}")
        if not found:
            self.failures.append(what)

    def play(self) -> None:
        """Play the whole night."""
        self._evening()
        self._worker_killed()
        self._everything_down()
        self._disk_full()
        self._recovery()
        self._morning()

    def _evening(self) -> None:
        self.say("Evening: three customers buy a lamp")
        for _customer in range(3):
            self.house.buy()
        self.check("all three orders are paid", self.house.is_all_paid, seconds=60)
        self.check("their mails are sent", lambda: len(self.house.mailbox.mails) >= 3, seconds=JOB_SECONDS)

    def _worker_killed(self) -> None:
        self.say("The worker is killed; Stripe and the mail server go down")
        self.house.processes.kill("worker")
        for name in ("stripe", "mail"):
            self.house.switches[name].turn("down")
        placed = self.house.customer().order(SKU)
        self.check(
            "a customer's order is kept, though the payment cannot start",
            lambda: "payment=unavailable" in placed.headers.get("location", ""),
        )
        self.check(
            "Slack is told that the worker is dead", self._told("worker_dead"), seconds=HEARTBEAT_SECONDS
        )
        self.check("/health?deep=1 is 503", lambda: self._status("/health?deep=1") == 503)
        self.check("the first page says it", lambda: "応答なし" in self.house.clerk.first_page())

    def _everything_down(self) -> None:
        self.say("The worker is started again, as a service manager does; Stripe and mail are still down")
        self.house.processes.start("worker")
        self.check("Slack is told that the close failed", self._told("close_failed"), seconds=JOB_SECONDS)
        self.check("yesterday is open", lambda: not DailyClose.objects.exists())

    def _disk_full(self) -> None:
        self.say("The disk is full")
        with self.house.full_disk():
            customer = self.house.customer()
            customer.post("/cart/add/", {"sku": SKU, "quantity": "1"})
            self.check("pages are served", lambda: self._status("/products/madoka/") == 200)
            self.check(
                "a form that would be stored is 503",
                lambda: customer.post("/checkout/", build.TYPED_ADDRESS).status_code == 503,
            )
            self.check("/health is 503", lambda: self._status("/health") == 503, seconds=60)
            self.check(
                "Slack is told, although no row can be written", self._told("database_down"), seconds=120
            )
        self.check("with room again /health is 200", lambda: self._status("/health") == 200, seconds=60)

    def _recovery(self) -> None:
        self.say("Stripe and the mail server are back; the worker is started anew")
        for name in ("stripe", "mail"):
            self.house.switches[name].turn("up")
        self.house.restart_worker()
        self.check("yesterday is closed", DailyClose.objects.exists, seconds=JOB_SECONDS)
        OutgoingMail.objects.queued().update(next_attempt_at=timezone.now())
        self.house.buy()
        self.check("no mail waits", lambda: not OutgoingMail.objects.queued().exists(), seconds=JOB_SECONDS)
        self.check("no event of Stripe failed", lambda: not StripeEvent.objects.failed().exists())
        self.check(
            "each alert of the night is over",
            lambda: not Alert.objects.ongoing().filter(kind__in=TOLD).exists(),
            seconds=120,
        )

    def _morning(self) -> None:
        tomorrow = timezone.now() + timedelta(days=1)
        self.say("The next morning's close")
        self.house.processes.kill("worker")
        paid = Order.objects.filter(status=OrderStatus.PAID, lines__sku=SKU).count()
        self.check("all four lamps that customers paid for are paid here", partial(eq, paid, 4))
        self._close(tomorrow)
        for kind in TOLD:
            times = self.house.times_told(kind)
            with translation.override("ja"):
                title = KINDS[kind].title
            self.check(f"Slack was told once: {title} ({times})", partial(eq, times, 1))

    def _close(self, tomorrow: datetime) -> None:
        adapter.sandbox().clock = tomorrow.timestamp  # a day that is not over by Stripe's clock is not closed
        for day in daily_close.open_days(days.yesterday(tomorrow)):
            closed = daily_close.close_day(day, now=tomorrow)
            self.check(f"{day} closes without differences", partial(eq, closed.differences, 0))
        self.check("verify_books finds nothing", lambda: not list(verify()))

    def _told(self, kind: str) -> Callable[[], bool]:
        return lambda: self.house.times_told(kind) >= 1

    def _status(self, path: str) -> int:
        return self.house.customer().get(path).status_code
