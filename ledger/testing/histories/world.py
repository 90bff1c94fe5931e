"""A world for a history: a database, a Stripe, a disk and a clock of its own, cheap enough for thousands."""

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import mail as django_mail
from django.core.management.color import no_style
from django.db import connection
from django.test import override_settings

from kikaku.days import business_day, day_bounds, yesterday
from kikaku.money import REDUCED, STANDARD
from kikaku.sandbox import Delivery, Sandbox, adapter
from kikaku.testing.database import engine
from ledger.closing import daily_close
from ledger.ingest import balance, inbox
from ledger.ingest.events import PaymentNotYetKnown
from ledger.ingest.inbox import AlreadyClaimed
from ledger.models import (
    Account,
    Carrier,
    DeliveryTime,
    Discrepancy,
    JournalEntry,
    Order,
    RemoteArea,
    StockItem,
    TaxRate,
)
from ledger.sales import cancellation, checkout, mail, refunds, stock
from ledger.testing.company import ensure_tax_status
from ledger.testing.histories import checks

# a Monday, 10:00 in Japan; the fiscal year ends on the next day
START = datetime(2026, 3, 30, 1, tzinfo=UTC)
MAX_DURATION = timedelta(days=9)  # each day takes a daily close
SKUS = ("LAMP", "SCREW", "WATER", "TEA")
TAX_CLASSES = (STANDARD, STANDARD, REDUCED, REDUCED)  # of the goods
INITIAL_STOCK = 12
WRITTEN_BY_MIGRATIONS = (Account, Carrier, DeliveryTime, RemoteArea, TaxRate)

JOBS: dict[str, Callable[..., Any]] = {
    "events": inbox.process_pending,
    "balance": balance.fetch_new,
    "checkouts": checkout.expire_due,
    "refunds": refunds.send_requested,
    "waiting refunds": refunds.update_waiting,
    "mail": mail.send_due,
}


class World:
    """A new shop. Actions change it through the domain's own functions."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder = folder
        self.sandbox = sandbox
        self.now = START
        self.opened: set[str] = set()  # sessions that a customer was ever sent to
        self.pages: list[str] = []  # sessions that a customer may still pay, the newest last
        self.challenged: list[str] = []  # of these: waiting for the bank's authentication
        self.vouchers: list[str] = []  # sessions that may be paid at a counter
        self.delivered: list[Delivery] = []
        self.closed: dict[date, frozenset[int]] = {}  # entries of each day when it was closed
        self.mails_in_doubt = 0  # sent right before a power cut: they may be sent again
        self.forms = 0
        self.foreign: set[str] = set()  # charges of another integration
        sandbox.clock = lambda: self.now.timestamp()
        ensure_tax_status()
        for sku in SKUS:
            made = StockItem.objects.create(sku=sku)
            stock.receive(made, INITIAL_STOCK, source="opening", actor="test", now=self.now)
        self.items = list(StockItem.objects.order_by("pk"))

    def wait(self, time: timedelta) -> None:
        """Move the clock, at Stripe and here, up to `MAX_DURATION` after the start."""
        self.now = max(self.now, min(self.now + time, START + MAX_DURATION))

    def new_nonce(self, what: str) -> str:
        """Return the nonce of a newly opened form."""
        self.forms += 1
        return self.last_nonce(what)

    def last_nonce(self, what: str) -> str:
        """Return the nonce of the form that was opened last."""
        return f"{what}-{self.forms}"

    def deliver(self, delivery: Delivery) -> bool:
        """Deliver a webhook, record its answer at Stripe, and return whether it was answered with 200."""
        status = 0
        try:
            event = inbox.receive(delivery.body, delivery.headers["Stripe-Signature"], now=self.now)
            try:
                inbox.process(event.pk, now=self.now)
                status = 200
                self.delivered.append(delivery)
            except PaymentNotYetKnown:
                status = 500
            except AlreadyClaimed:
                status = 409
        finally:
            self.sandbox.mark_delivered(delivery.event_id, status)
        return status == 200

    def run(self, *jobs: str) -> None:
        """Run scheduled jobs by name."""
        for job in jobs:
            JOBS[job](now=self.now)

    def close(self) -> None:
        """Close every day that has ended, as the nightly job does."""
        for result in daily_close.close_days(daily_close.open_days(yesterday(self.now)), now=self.now):
            entries = JournalEntry.objects.filter(day=result.day).values_list("pk", flat=True)
            self.closed[result.day] = frozenset(entries)

    def restart(self) -> None:
        """Restart after a power cut: state in memory is lost."""
        connection.close()

    def settle(self) -> None:
        """Deliver all events, run the jobs until no work is left, and close every day.

        Raises AssertionError when work is left after a week of runs.
        """
        for step in (
            timedelta(minutes=1),
            timedelta(minutes=40),
            *[timedelta(hours=3)] * 4,
            *[timedelta(hours=12)] * 14,
        ):
            self.now += step
            for delivery in self.sandbox.pending_deliveries():
                self.deliver(delivery)
            self.run(*JOBS)
            self._cancel_orders_without_payment()
            unfinished = checks.unfinished_work(self.sandbox.state_path, self.now)
            if not unfinished:
                break
        else:
            raise AssertionError(f"Still unfinished: {unfinished}")
        self._wait_for_night_and_close()
        # A close finds refunds that were cancelled at Stripe although their event was lost. Stripe does
        # not say when: each is posted on the day on which it is found, which the next night closes.
        if JournalEntry.objects.filter(day__gt=max(self.closed)).exists():
            self._wait_for_night_and_close()
        self.run("mail")  # the close records facts without events, which customers are notified of

    def _cancel_orders_without_payment(self) -> None:
        """Do as staff who find no payment at Stripe for a page that is complete."""
        asked = Discrepancy.objects.filter(kind=Discrepancy.Kind.PAYMENT_MISSING).values("object_id")
        for order in Order.objects.pending().filter(number__in=asked):
            cancellation.cancel(order=order, reason=Order.CancelReason.STAFF, actor="test", now=self.now)

    def _wait_for_night_and_close(self) -> None:
        self.now = day_bounds(business_day(self.now))[1] + timedelta(hours=1)
        self.run(*JOBS)
        self.close()


# ── Creating worlds ────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def prepared_template() -> Iterator[Path]:
    """Yield a folder for `temporary_world`, with the database that every world starts from.

    The default database must be migrated and empty. On SQLite each world gets a copy, with
    synchronous writes off; on other engines the tables are emptied, which needs a test database.
    """
    database = connection.settings_dict
    before = {"NAME": database["NAME"], "OPTIONS": database["OPTIONS"]}
    with tempfile.TemporaryDirectory(prefix="histories-") as name:
        folder = Path(name)
        if engine() == "sqlite":
            template = folder / "template.sqlite3"
            with connection.cursor() as cursor:
                cursor.execute("VACUUM INTO %s", [str(template)])
            with contextlib.closing(sqlite3.connect(template)) as copy, copy:
                copy.execute("DELETE FROM ledger_test_database")  # the append-only triggers act in a world
            fast = "PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF;"
            database["OPTIONS"] = {**database["OPTIONS"], "init_command": fast}
        try:
            yield folder
        finally:
            connection.close()
            database.update(before)


@contextmanager
def temporary_world(template_folder: Path) -> Iterator[World]:
    """Yield a new world, which is deleted afterwards."""
    with tempfile.TemporaryDirectory(dir=template_folder) as name:
        folder = Path(name)
        if engine() == "sqlite":
            connection.close()
            connection.settings_dict["NAME"] = shutil.copyfile(
                template_folder / "template.sqlite3", folder / "shop.sqlite3"
            )
        else:
            _empty_tables()
        disk = {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": folder / "files"},
        }
        with override_settings(
            SANDBOX_STATE=folder / "stripe.sqlite3",
            STORAGES={**settings.STORAGES, "evidence": disk},
            EMAIL_BACKEND="django.core.mail.backends.locmem.EmailBackend",
        ):
            django_mail.outbox = []
            yield World(folder, adapter.sandbox())


def _empty_tables() -> None:
    models = apps.get_app_config("ledger").get_models()
    tables = [model._meta.db_table for model in models if model not in WRITTEN_BY_MIGRATIONS]
    if engine() == "d1":
        connection.ops.execute_sql_flush(connection.ops.sql_flush(no_style(), tables, reset_sequences=True))
    else:
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY CASCADE")
    TaxRate.objects.filter(from_day__gte=START.date()).delete()
