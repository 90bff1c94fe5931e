"""`manage.py fetch_balance`: post the balance transactions since the last fetch."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from ledger.books.tax_rules import TaxStatusMissing
from ledger.ingest import balance
from ledger.stripe.client import StripeRefused, StripeUnavailable


class Command(BaseCommand):
    help = "Fetch new balance transactions from Stripe and post one journal entry for each. Safe to repeat."

    def handle(self, *args: Any, **options: Any) -> None:
        """Fetch and print how many were new.

        Raises `CommandError` when Stripe cannot be asked, and while the tax status is missing.
        """
        try:
            result = balance.fetch_new(now=timezone.now())
        except (StripeUnavailable, StripeRefused) as error:
            raise CommandError(f"Stripe could not be asked: {error}") from error
        except TaxStatusMissing as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{result.seen} balance transactions read, {result.posted} posted.")
        if result.waiting:
            self.stdout.write(f"Waiting for the event of their payment: {', '.join(result.waiting)}")
