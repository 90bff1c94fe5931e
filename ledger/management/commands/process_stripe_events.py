"""`manage.py process_stripe_events`: process the events that failed or were left."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from ledger.ingest import inbox
from ledger.models import StripeEvent


class Command(BaseCommand):
    """Process stored events that are not done; exit with 1 when some still fail."""

    help = "Handle the Stripe events that failed or were left unprocessed."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--limit", type=int, default=500, help="at most so many events (default: 500)")

    def handle(self, *args: Any, limit: int, **options: Any) -> None:
        """Process them and print how many are left. Raises `CommandError` for a limit below 1."""
        if limit < 1:
            raise CommandError("--limit must be 1 or more.")
        done = inbox.process_pending(now=timezone.now(), limit=limit, include_pausing=True)
        left = StripeEvent.objects.unprocessed().count()
        self.stdout.write(f"{done} events done, {left} left.")
        failed = StripeEvent.objects.failed().order_by("received_at")
        for event in failed[:20]:
            self.stderr.write(f"{event.pk} {event.type}: {event.last_error}")
        if failed:
            raise SystemExit(1)
