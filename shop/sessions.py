"""Sessions: their keys, and what that of a customer without an account holds: the address, the order."""

from django.conf import settings
from django.contrib.auth import SESSION_KEY as USER_KEY
from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import CreateError
from django.db import IntegrityError, transaction
from django.http import HttpRequest

from kikaku.transactions import queued_writes


class SessionStore(db.SessionStore):
    """Django's sessions in the database; a new key takes two queries instead of seven.

    The row with the new key is written when the session is saved, once and with all that it holds by then, in
    one transaction with the end of the old row.
    """

    _replaced_key: str | None = None

    def cycle_key(self) -> None:
        """Give the session a new key when it is saved."""
        self._session_cache = dict(self.items())
        self._replaced_key = self._replaced_key or self.session_key
        self._session_key = None
        self.modified = True

    def save(self, must_create: bool = False) -> None:
        """Write the session's row; raise `CreateError` if it must be new, and its key is taken."""
        if not must_create:
            super().save()
            return
        try:
            with transaction.atomic(), queued_writes():
                super().save(must_create=True)
                if self._replaced_key is not None:
                    self.model.objects.filter(pk=self._replaced_key).delete()
        except IntegrityError:  # on D1 it comes with the commit
            raise CreateError from None
        self._replaced_key = None


def renew_session(request: HttpRequest) -> None:
    """Give the session a new key and a short life, because it is about to hold something private.

    Someone may have planted the old key in this browser, and would read what it holds. A staff login keeps
    its length.
    """
    request.session.cycle_key()
    if USER_KEY not in request.session:
        request.session.set_expiry(settings.CHECKOUT_SESSION_SECONDS)
