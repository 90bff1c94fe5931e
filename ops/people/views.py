"""Pages of staff about their own sign-ins, and the reset of a forgotten password."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import views as auth_views
from django.contrib.auth.forms import PasswordResetForm
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse, reverse_lazy
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from ops.models import SignIn
from ops.people.sessions import sign_out_everywhere

SHOWN_SIGN_INS = 50


def sign_ins(request: HttpRequest) -> HttpResponse:
    """Return the latest sign-ins of who asks."""
    rows = SignIn.objects.filter(user_id=request.user.pk or 0)[:SHOWN_SIGN_INS]
    return TemplateResponse(request, "ops/sign_ins.html", {"rows": rows, "days": settings.SIGN_IN_DAYS})


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End all sessions of who asks, this one too."""
    sign_out_everywhere(request.user, now=timezone.now())
    messages.success(request, _("You are signed out everywhere."))
    return HttpResponseRedirect(reverse("admin:login"))


class StaffPasswordResetForm(PasswordResetForm):
    """A mail with a link, for active staff with a password."""

    def get_users(self, email: str) -> Any:
        """Yield the accounts of staff with this address."""
        return (user for user in super().get_users(email) if isinstance(user, User) and user.is_staff)


PASSWORD_RESET = auth_views.PasswordResetView.as_view(
    form_class=StaffPasswordResetForm,
    template_name="ops/password_reset.html",
    email_template_name="ops/mail/password_reset.txt",
    subject_template_name="ops/mail/password_reset.subject.txt",
    success_url=reverse_lazy("staff_password_reset_sent"),
)
PASSWORD_RESET_SENT = auth_views.PasswordResetDoneView.as_view(template_name="ops/password_reset_sent.html")
PASSWORD_RESET_CONFIRM = auth_views.PasswordResetConfirmView.as_view(
    template_name="ops/password_reset_confirm.html",
    success_url=reverse_lazy("staff_password_reset_complete"),
)
PASSWORD_RESET_COMPLETE = auth_views.PasswordResetCompleteView.as_view(
    template_name="ops/password_reset_complete.html"
)
