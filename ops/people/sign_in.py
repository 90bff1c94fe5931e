"""How staff sign in: the admin's own form, then the second factor of django-allauth.

The form stays at /admin/login/ with its limits (`ops.web.limits`); what follows a right password is
allauth's: its stages ask for the second factor before there is a session. Every attempt with the name of an
account is listed.
"""

import logging
import time
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows.login import get_authentication_records, perform_password_login
from allauth.account.models import Login
from allauth.core import context
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authentication_failed
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import REDIRECT_FIELD_NAME, logout
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from unfold.forms import AuthenticationForm  # type: ignore[attr-defined]

from ops.models import SignIn

# in the session
SIGNED_IN_AT = "staff_signed_in_at"  # when the password was right, in seconds since 1970
BEGUN = "staff_sign_in_begun"  # that time and Django's hash of the password, until the sign-in ends
logger = logging.getLogger(__name__)


def is_recent(request: HttpRequest) -> bool:
    """Return whether the user has proved who he is within `ACCOUNT_REAUTHENTICATION_TIMEOUT` seconds.

    What is posted may be as old again, so that a form that was opened in time can be sent.
    """
    user: Any = request.user
    records = get_authentication_records(request, user if isinstance(user, User) else None)
    latest = max([request.session.get(SIGNED_IN_AT, 0.0), *(record["at"] for record in records)])
    allowed = settings.ACCOUNT_REAUTHENTICATION_TIMEOUT * (2 if request.method == "POST" else 1)
    return bool(0 <= time.time() - latest < allowed)


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """What allauth asks of this project: nobody makes an account by himself."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Return False: the owner makes the accounts of staff."""
        return False

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Return whether to ask for proof: allauth alone would ask right after a sign-in, too."""
        return not is_recent(context.request)

    def add_message(self, request: HttpRequest, level: int, *args: Any, **kwargs: Any) -> None:
        """Show what allauth reports, except that somebody has signed in or out."""
        template = kwargs.get("message_template") or (args[0] if args else "") or ""
        if "logged_" not in str(template):
            super().add_message(request, level, *args, **kwargs)


class StaffLoginView(LoginView):
    """The admin's form for name and password; allauth's stages follow."""

    template_name = "admin/login.html"
    authentication_form = AuthenticationForm

    def form_valid(self, form: Any) -> HttpResponse:
        """Return what follows a right password: the second factor, or the page that was asked for."""
        user = form.get_user()
        if self.request.user.is_authenticated and self.request.user.pk != user.pk:
            logout(self.request)
        self.request.session[BEGUN] = [time.time(), user.get_session_auth_hash()]
        login = Login(user=user, redirect_url=self.get_success_url())
        credentials = {"username": user.get_username()}
        answer: HttpResponse = perform_password_login(self.request, credentials, login)
        return answer


def login(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
    """Return the sign-in of the admin, as `AdminSite.login` does."""
    if request.method == "GET" and admin.site.has_permission(request):
        return HttpResponseRedirect(reverse("admin:index"))
    shown: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": _("Log in"),
        "subtitle": None,
        "app_path": request.get_full_path(),
        "username": request.user.get_username(),
        **(extra_context or {}),
    }
    if REDIRECT_FIELD_NAME not in request.GET and REDIRECT_FIELD_NAME not in request.POST:
        shown[REDIRECT_FIELD_NAME] = reverse("admin:index")
    return StaffLoginView.as_view(extra_context=shown)(request)


# ── The list of sign-ins ─────────────────────────────────────────────────────────────────────────────────


def _note(request: HttpRequest, user: Any, *, succeeded: bool, method: str) -> None:
    SignIn.objects.create(
        user=user,
        at=timezone.now(),
        succeeded=succeeded,
        method=method,
        address=request.META.get("REMOTE_ADDR", "")[:45],
        browser=request.headers.get("User-Agent", "")[:200],
    )


def _method(request: HttpRequest, user: Any) -> str:
    records = get_authentication_records(request, user)
    kinds = [record.get("type") for record in records if record.get("method") == "mfa"]
    return str(kinds[-1]) if kinds else SignIn.Method.PASSWORD.value


def note_success(sender: Any, request: HttpRequest, user: Any, **_: Any) -> None:
    """List a sign-in, and store its time in the session, for "sign out everywhere".

    That time is when the password was given: who signs out everywhere, or changes the password, also ends a
    sign-in that waits for its second factor.
    """
    at, password = request.session.pop(BEGUN, (time.time(), user.get_session_auth_hash()))
    request.session[SIGNED_IN_AT] = at if password == user.get_session_auth_hash() else 0.0
    request._login_name = user.get_username().casefold()  # type: ignore[attr-defined]
    if user.is_staff:
        _note(request, user, succeeded=True, method=_method(request, user))


def note_wrong_password(
    sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any
) -> None:
    """List a wrong password for an account of staff; other names are not kept, they may be passwords."""
    name = str(credentials.get("username", "")).replace("\x00", "")
    user = User.objects.filter(username=name, is_staff=True).first() if request is not None else None
    if request is not None and user is not None:
        _note(request, user, succeeded=False, method=SignIn.Method.PASSWORD.value)


def note_wrong_code(
    sender: Any, request: HttpRequest, user: Any, authenticator: Authenticator, **_: Any
) -> None:
    """List a wrong code or key of an account of staff."""
    if user.is_staff:
        _note(request, user, succeeded=False, method=authenticator.type)


def connect() -> None:
    """Take the place of the admin's sign-in, and listen to attempts."""
    admin.site.login = login  # type: ignore[method-assign, assignment]
    user_logged_in.connect(note_success, dispatch_uid="ops.people.success")
    user_login_failed.connect(note_wrong_password, dispatch_uid="ops.people.password")
    authentication_failed.connect(note_wrong_code, dispatch_uid="ops.people.code")
