"""`manage.py send_mail`: send the mails that are due."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from ledger.models import OutgoingMail
from ledger.sales import mail


class Command(BaseCommand):
    """Send the queued mails that are due."""

    help = "Send the mails that are due."

    def handle(self, *args: Any, **options: Any) -> None:
        """Send them and print how many are left."""
        sent = mail.send_due(now=timezone.now())
        left = OutgoingMail.objects.queued().count()
        self.stdout.write(f"{sent} mails sent, {left} queued.")
