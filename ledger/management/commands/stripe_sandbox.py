"""`manage.py stripe_sandbox`: serve the Stripe stand-in for development."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from kikaku.sandbox import Sandbox
from kikaku.sandbox.server import serve


class Command(BaseCommand):
    """Serve the stand-in on 127.0.0.1: its API, its payment page, its webhooks."""

    help = "Serve the Stripe stand-in (development only)."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take --port."""
        parser.add_argument("--port", type=int, default=settings.SANDBOX_PORT, help="default: %(default)s")

    def handle(self, *args: Any, port: int, **options: Any) -> None:
        """Serve until interrupted. Raises `CommandError` in production, or beside a key of Stripe."""
        if settings.PRODUCTION:
            raise CommandError("The Stripe stand-in is refused in production: set ENVIRONMENT=development.")
        if not settings.SANDBOX:
            raise CommandError("STRIPE_SECRET_KEY is set: the shop talks to Stripe, not to the stand-in.")
        if not 1 <= port <= 65535:
            raise CommandError("--port must lie between 1 and 65535.")
        sandbox = Sandbox(
            settings.SANDBOX_STATE,
            base_url=settings.SANDBOX_BASE_URL
            if port == settings.SANDBOX_PORT
            else f"http://127.0.0.1:{port}",
            webhook_url=f"{settings.STOREFRONT_BASE_URL}/webhooks/stripe",
            webhook_secret=settings.STRIPE_WEBHOOK_SECRETS[0],
            api_version=settings.STRIPE_API_VERSION,
            return_origins=[settings.STOREFRONT_BASE_URL],
        )
        self.stdout.write(f"Stripe stand-in on http://127.0.0.1:{port}")
        try:
            serve(sandbox, port)
        except OSError as error:
            raise CommandError(
                f"Port {port} can not be used: {error}. Choose another with --port."
            ) from error
