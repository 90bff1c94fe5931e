"""Forms of allauth that count attempts in the shop's own buckets: its own limits need a cache."""

import time
from typing import Any

from allauth.account.forms import ReauthenticateForm as AllauthPasswordForm
from allauth.mfa.base.forms import AuthenticateForm as AllauthAuthenticateForm
from allauth.mfa.base.forms import ReauthenticateForm as AllauthReauthenticateForm
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from ops.people.second_factor import SecretUnreadable
from ops.web.limits import Limit, bucket_key, count_request


def _count(user: Any) -> None:
    """Count an attempt of an account, from whatever address. Raises `ValidationError` beyond the limit."""
    key = bucket_key("second factor", str(user.pk))
    if wait := count_request(Limit(*settings.LOGIN_LIMIT_PER_NAME), key, now=time.time()):
        text = _("Too many attempts. Try again in %(minutes)d minutes.")
        raise ValidationError(text % {"minutes": -(-wait // 60)})


class AuthenticateForm(AllauthAuthenticateForm):  # type: ignore[misc]
    """The code of the second factor at a sign-in."""

    def clean_code(self) -> str:
        """Return a right code."""
        _count(self.user)
        try:
            return str(super().clean_code())
        except SecretUnreadable as error:
            raise ValidationError(str(error)) from error


class ReauthenticateForm(AllauthReauthenticateForm):  # type: ignore[misc]
    """The code of the second factor before something delicate."""

    def clean_code(self) -> str:
        """Return a right code."""
        _count(self.user)
        try:
            return str(super().clean_code())
        except SecretUnreadable as error:
            raise ValidationError(str(error)) from error


class PasswordForm(AllauthPasswordForm):  # type: ignore[misc]
    """The password before something delicate."""

    def clean_password(self) -> str:
        """Return the right password."""
        _count(self.user)
        return str(super().clean_password())
