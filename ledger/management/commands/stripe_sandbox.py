"""`manage.py stripe_sandbox`: serve the Stripe stand-in for development."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    """Serve the stand-in on 127.0.0.1: its API, its payment page, its webhooks."""

    help = "Serve the Stripe stand-in (development only)."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add --port."""
        parser.add_argument("--port", type=int, default=settings.SANDBOX_PORT, help="default: %(default)s")

    def handle(self, *args: Any, port: int, **options: Any) -> None:
        """Serve until interrupted. Raises `CommandError` in production, or beside a key of Stripe."""
        if settings.PRODUCTION:
            raise CommandError("The Stripe stand-in is refused in production: set ENVIRONMENT=development.")
        if not settings.SANDBOX:
            raise CommandError("STRIPE_SECRET_KEY is set: the shop talks to Stripe, not to the stand-in.")
        if not 1 <= port <= 65535:
            raise CommandError("--port must lie between 1 and 65535.")
        from kikaku.sandbox import adapter  # production never loads it

        self.stdout.write(f"Stripe stand-in on http://127.0.0.1:{port}")
        try:
            adapter.serve(port)
        except OSError as error:
            raise CommandError(f"Port {port} cannot be used: {error}. Choose another with --port.") from error
