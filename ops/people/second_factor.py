"""Second factors: their secrets are encrypted in the database, and can be taken away from an account.

The key is derived from SECRET_KEY, which no backup holds. What was encrypted under another key is unreadable,
and has to be set up anew.
"""

import base64
import logging
from datetime import datetime
from typing import Any

from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.utils.encoding import force_bytes
from django.utils.translation import gettext as _

from kikaku.transactions import unit_of_work
from ops.people.sessions import sign_out_everywhere

logger = logging.getLogger(__name__)


class SecretUnreadable(Exception):
    """A secret was encrypted under another SECRET_KEY. Its text is for who is signing in."""

    silent_variable_failure = True  # in a template it is empty: the overview shows no codes

    def __init__(self) -> None:
        text = _("The server has a new SECRET_KEY. Use a passkey, or ask for a reset of two-factor.")
        super().__init__(text)


def _fernets() -> MultiFernet:
    """Return what encrypts under SECRET_KEY, and decrypts under SECRET_KEY_FALLBACKS, too."""
    keys = [
        # RFC 5869: the key of this purpose tells nothing about others that come from the same secret
        HKDF(SHA256(), length=32, salt=None, info=b"kikaku second factors").derive(force_bytes(secret))
        for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    ]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])


def encrypt(text: str) -> str:
    """Return a secret as it is stored."""
    return _fernets().encrypt(text.encode()).decode()


def decrypt(stored: str) -> str:
    """Return a stored secret. Raises `SecretUnreadable`."""
    try:
        return _fernets().decrypt(stored.encode()).decode()
    except InvalidToken:
        logger.warning("a second factor was encrypted under another SECRET_KEY")
        raise SecretUnreadable from None


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """What allauth asks of this project: how the secrets of apps and recovery codes are stored."""

    def encrypt(self, text: str) -> str:
        """Return a secret as it is stored."""
        return encrypt(text)

    def decrypt(self, encrypted_text: str) -> str:
        """Return a stored secret. Raises `SecretUnreadable`."""
        return decrypt(encrypted_text)


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
