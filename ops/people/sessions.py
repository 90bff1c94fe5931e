"""Sessions of staff: signed out everywhere, and what a role without its second factor may see."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

from ops.models import StaffSessions
from ops.people.roles import OWNER
from ops.people.sign_in import SIGNED_IN_AT
from ops.web.audit import ADMIN_PATH

ACCOUNT_PATH = re.compile(r"^/(en/)?admin/account/(?!log)")
FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)
# what who lacks a required second factor may open: the pages that set one up, and the way out
OPEN_VIEWS = {
    "admin:logout",
    "admin:login",
    "admin:jsi18n",
    "account_reauthenticate",
    "account_login",
    "account_logout",
    "mfa_index",
    "mfa_activate_totp",
    "mfa_add_webauthn",
    "mfa_reauthenticate",
    "mfa_reauthenticate_webauthn",
    "mfa_view_recovery_codes",
}


def sign_out_everywhere(user: Any, *, now: datetime) -> None:
    """End all sessions of an account that began up to `now`."""
    StaffSessions.objects.update_or_create(user=user, defaults={"valid_from": now})


def needs_second_factor(user: User) -> bool:
    """Return whether a role of a user requires a second factor and he has none; one query.

    A superuser counts as the owner.
    """
    roles = settings.MFA_REQUIRED_ROLES
    if not roles:
        return False
    account = User.objects.filter(pk=user.pk).filter(
        ~Exists(Authenticator.objects.filter(user=OuterRef("pk"), type__in=FACTORS))
    )
    if not (user.is_superuser and OWNER in roles):
        account = account.filter(groups__name__in=roles)
    return account.exists()


class StaffSessionMiddleware:
    """Middleware that ends sessions that were signed out, and asks for the second factor of a role."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Return the response."""
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, arguments: Any, keywords: Any) -> Any:
        """Return a redirect for a session that may not go on; pages of the shop are left alone."""
        match = request.resolver_match
        if match is None or not ADMIN_PATH.match(request.path) or not request.user.is_authenticated:
            return None
        user: Any = request.user
        if not user.is_staff:
            if ACCOUNT_PATH.match(request.path):
                raise PermissionDenied
            return None
        valid_from = (
            StaffSessions.objects.filter(user_id=user.pk).values_list("valid_from", flat=True).first()
        )
        began = datetime.fromtimestamp(request.session.get(SIGNED_IN_AT, 0), UTC)
        if began <= (valid_from or datetime.fromtimestamp(0, UTC)):
            logout(request)
            return HttpResponseRedirect(reverse("admin:login"))
        if match.view_name not in OPEN_VIEWS and needs_second_factor(user):
            messages.warning(request, _("Your role needs a second factor. Please set one up first."))
            return HttpResponseRedirect(reverse("mfa_index"))
        return None
