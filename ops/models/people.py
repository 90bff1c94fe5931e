"""What is kept of how staff sign in."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class SignIn(models.Model):
    """One attempt to sign in with the name of an account that exists."""

    class Method(models.TextChoices):
        PASSWORD = "password", pgettext_lazy("sign-in", "password")
        TOTP = "totp", pgettext_lazy("sign-in", "password and app")
        RECOVERY = "recovery_codes", pgettext_lazy("sign-in", "password and recovery code")
        PASSKEY = "webauthn", pgettext_lazy("sign-in", "passkey")

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="sign_ins", verbose_name=_("user")
    )
    at = models.DateTimeField(_("at"), db_index=True)
    succeeded = models.BooleanField(_("signed in"))
    method = models.CharField(pgettext_lazy("sign-in", "method"), max_length=20, choices=Method.choices)
    address = models.CharField(_("from where"), max_length=45)
    browser = models.CharField(_("browser"), max_length=200)

    class Meta:
        verbose_name = _("sign-in")
        verbose_name_plural = _("sign-ins")
        ordering = ["-at", "-id"]

    def __str__(self) -> str:
        return f"{self.user} {self.at:%Y-%m-%d %H:%M}"


class StaffSessions(models.Model):
    """From when on the sessions of an account count: earlier ones were signed out everywhere."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="staff_sessions"
    )
    valid_from = models.DateTimeField()

    class Meta:
        default_permissions = ()  # not in the admin

    def __str__(self) -> str:
        return f"{self.user_id} {self.valid_from}"
