"""Forms of allauth that count attempts in the shop's own buckets: its own limits need a cache."""

import time
from collections.abc import Callable
from typing import Any

from allauth.account.forms import ReauthenticateForm as AllauthPasswordForm
from allauth.core import context
from allauth.core.internal.cryptokit import normalize_user_code
from allauth.mfa.base.forms import AuthenticateForm as AllauthAuthenticateForm
from allauth.mfa.base.forms import ReauthenticateForm as AllauthReauthenticateForm
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from ops.people.second_factor import SecretUnreadable
from ops.web.limits import Limit, bucket_key, count_request, device_of
from shop.forms import normalise_line

CODE_SECONDS = 30 * (2 * settings.MFA_TOTP_TOLERANCE + 1)  # how long a code is right


def _count(user: Any) -> None:
    """Count an attempt of an account, from whatever address. Raises `ValidationError` beyond the limits.

    Raises DatabaseError, too: an attempt that cannot be counted does not pass.

    A browser that has signed in before has its own limit: who knows the password alone cannot lock its owner
    out. All others share a limit per day, too. Three of a million codes are right at any time, so that
    without it who knows the password would guess one within months.
    """
    device = device_of(context.request, normalise_line(user.get_username()).casefold())
    limits = [("second factor", settings.LOGIN_LIMIT_PER_NAME)]
    if not device:
        limits.append(("second factor per day", settings.SECOND_FACTOR_LIMIT_PER_DAY))
    for name, limit in limits:
        key = bucket_key(name, str(user.pk), device)
        if wait := count_request(Limit(*limit), key, now=time.time(), must_count=True):
            text = _("Too many attempts. Try again in %(minutes)d minutes.")
            raise ValidationError(text % {"minutes": -(-wait // 60)})


def _checked(form: Any, clean_code: Callable[[], str]) -> str:
    """Return a right code that was not used before. Raises `ValidationError`."""
    _count(form.user)
    try:
        code = str(clean_code())
    except SecretUnreadable as error:
        raise ValidationError(str(error)) from error
    if form.authenticator.type == Authenticator.Type.TOTP:
        # RFC 6238, section 5.2: a code is accepted once. allauth keeps used ones in a cache; we have none.
        key = bucket_key("code used", str(form.user.pk), normalize_user_code(code))
        if count_request(Limit(1, CODE_SECONDS), key, now=time.time(), must_count=True):
            form._emit_authentication_failed(form.authenticator)
            raise ValidationError(_("This code was used already. Wait for the next one."))
    return code


class AuthenticateForm(AllauthAuthenticateForm):  # type: ignore[misc]
    """The code of the second factor at a sign-in."""

    def clean_code(self) -> str:
        """Return a right code."""
        return _checked(self, super().clean_code)


class ReauthenticateForm(AllauthReauthenticateForm):  # type: ignore[misc]
    """The code of the second factor before something delicate."""

    def clean_code(self) -> str:
        """Return a right code."""
        return _checked(self, super().clean_code)


class PasswordForm(AllauthPasswordForm):  # type: ignore[misc]
    """The password before something delicate."""

    def clean_password(self) -> str:
        """Return the right password."""
        _count(self.user)
        return str(super().clean_password())
