"""`manage.py reset_two_factor NAME`: for an owner who has lost telephone and recovery codes."""

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from ops.people.second_factor import reset_two_factor


class Command(BaseCommand):
    help = (
        "Take away all second factors of an account and sign it out everywhere. "
        "Its password is enough until new ones are set."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the argument."""
        parser.add_argument("name", help="the name with which the account signs in")

    def handle(self, *args: Any, **options: Any) -> None:
        """Reset, and print what was taken away."""
        user = User.objects.filter(username=options["name"]).first()
        if user is None:
            raise CommandError(f"There is no account {options['name']}.")
        count = reset_two_factor(user, now=timezone.now())
        self.stdout.write(f"{user.get_username()}: {count} second factors taken away; signed out everywhere.")
