"""The session of a customer without an account: it holds the typed address, and which order was placed."""

from django.conf import settings
from django.contrib.auth import SESSION_KEY as USER_KEY
from django.http import HttpRequest


def renew_session(request: HttpRequest) -> None:
    """Give the session a new key and a short life, because it is about to hold something private.

    Someone may have planted the old key in this browser, and would read what it holds. A staff login keeps
    its length.
    """
    request.session.cycle_key()
    if USER_KEY not in request.session:
        request.session.set_expiry(settings.CHECKOUT_SESSION_SECONDS)
