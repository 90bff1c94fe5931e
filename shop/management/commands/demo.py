"""`manage.py demo`: write the demo shop and its tax status, and histories of orders."""

import argparse
from datetime import date
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from kikaku import days
from kikaku.progress import Progress
from ledger.models import Order


def positive_number(text: str) -> int:
    """Return a number from 1 to 1,000,000 of a command line."""
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"a whole number from 1 to 1,000,000 is needed, not {text!r}")
    return int(text)


def day(text: str) -> date:
    """Return a day of a command line."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date like 2026-04-02") from None


class Command(BaseCommand):
    """Write the demo goods; with --orders also orders of the last days, in the shop and in the stand-in."""

    help = "Write the demo shop: tax status, goods, pictures, pages; with --orders a history of orders."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add --products, --orders and --days."""
        parser.add_argument(
            "--products", type=positive_number, help="how many products (default: about 40, drawn by hand)"
        )
        parser.add_argument("--orders", type=positive_number, help="write a history of this many orders")
        parser.add_argument(
            "--year-end",
            action="store_true",
            help="write a few orders around the last end of the fiscal year, into books without orders",
        )
        parser.add_argument("--tax-status", action="store_true", help="enter the tax status, nothing else")
        parser.add_argument(
            "--days",
            type=positive_number,
            default=5,
            help="days of the history (default 5)",
        )
        parser.add_argument(
            "--until", type=day, help="last day of the history, such as 2026-04-02 (default: yesterday)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Write what is missing. Raises `CommandError` except in a development shop with the stand-in."""
        if settings.PRODUCTION or not (settings.SANDBOX or options["tax_status"]):
            raise CommandError(
                "demo is refused here: it writes an invented shop and invented customers, with "
                "ENVIRONMENT=development and without STRIPE_SECRET_KEY only."
            )
        # production never loads it
        from shop.demo import catalogue, company, history, loader, year_end

        now = timezone.now()
        if company.ensure_tax_status(now=now):
            self.stdout.write("Tax status: a registered corporation, fictional, year end in March.")
        if options["tax_status"]:
            return
        bar = Progress("products", options["products"] or len(catalogue.goods()))
        has_year_end = options["year_end"] and not Order.objects.exists()
        # what is sold around the end of the year was in stock before
        stocked_at = days.day_bounds(year_end.first_day(now=now))[0] if has_year_end else now
        loaded = loader.load(options["products"], now=stocked_at, progress=bar)
        self.stdout.write(
            f"{loaded.products} products, {loaded.variants} variants, {loaded.pictures} pictures, "
            f"{loaded.pages} pages written."
        )
        try:
            if has_year_end:
                self.stdout.write(year_end.write(now=now).summary())
            if options["orders"]:
                written = history.write(
                    options["orders"],
                    days_back=options["days"],
                    now=now,
                    last=options["until"],
                    progress=Progress("orders", options["orders"]),
                )
                self.stdout.write(written.summary())
        except history.HistoryRefused as refusal:
            raise CommandError(str(refusal)) from None
