"""Take away the second factors of an account, for a telephone that is lost."""

from datetime import datetime
from typing import Any

from allauth.mfa.models import Authenticator

from kikaku.transactions import unit_of_work
from ops.people.sessions import sign_out_everywhere


@unit_of_work
def reset_two_factor(user: Any, *, now: datetime) -> int:
    """Delete app, passkeys and recovery codes, end all sessions, and return how many there were.

    Each is deleted by itself, so that the audit log has it.
    """
    rows = list(Authenticator.objects.filter(user=user))
    for row in rows:
        row.delete()
    sign_out_everywhere(user, now=now)
    return len(rows)
