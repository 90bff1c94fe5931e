"""`manage.py expire_checkouts`: close payment pages whose time is over."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from ledger.sales import checkout


class Command(BaseCommand):
    """Expire due payment pages at Stripe, and cancel their unpaid orders."""

    help = "Close the payment pages whose time is over; end their orders and release the stock."

    def handle(self, *args: Any, **options: Any) -> None:
        """Close them and print how many orders ended."""
        ended = checkout.expire_due(now=timezone.now())
        self.stdout.write(f"{ended} unpaid orders ended.")
