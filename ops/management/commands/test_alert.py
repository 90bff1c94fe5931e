"""`manage.py test_alert`: send a test message to Slack and say what Slack answered."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from kikaku.alerts import Alert
from ops.alerts import slack, store
from ops.alerts.slack import Outcome
from ops.alerts.store import Occurrence


class Command(BaseCommand):
    """Send one message, whatever waits, and without a row."""

    help = "Send a test alert to Slack. Example: manage.py test_alert. Exit code 1: Slack did not take it."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--send", action="store_true", help="send it in development, too")

    def handle(self, *args: Any, **options: Any) -> None:
        """Send it. Raises `CommandError` when Slack is not set up or does not take it."""
        if not settings.SLACK_WEBHOOK_URL:
            raise CommandError("SLACK_WEBHOOK_URL is not set: alerts are kept in the admin only.")
        if not (store.is_delivered() or options["send"]):
            raise CommandError("In development nothing is sent: say --send.")
        now = timezone.now()
        occurrence = Occurrence(Alert("test"), "manage.py test_alert", now, now, count=1)
        answer = slack.post(slack.message([store.unsaved(occurrence)]))
        if answer.outcome != Outcome.SENT:
            raise CommandError(f"Slack did not take it ({answer.outcome.value}): {answer.reason}")
        self.stdout.write("Slack took the test alert.")
