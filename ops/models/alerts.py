"""Alerts: what went wrong, since when, and whether Slack has got it."""

from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from ledger.models.querysets import ModelT


class AlertQuerySet(models.QuerySet[ModelT]):
    """Questions that are asked of alerts."""

    def ongoing(self) -> Self:
        """Return the alerts that are not over."""
        return self.filter(over_at__isnull=True)

    def undelivered(self) -> Self:
        """Return the alerts that Slack was to get, and perhaps did not."""
        return self.filter(state__in=(Alert.State.WAITING, Alert.State.UNKNOWN, Alert.State.FAILED))


class Alert(models.Model):
    """One alert: of equal kind and subject there is one that is not over."""

    class Level(models.IntegerChoices):
        INFO = 0, pgettext_lazy("alert", "notice")
        WARNING = 1, pgettext_lazy("alert", "warning")
        CRITICAL = 2, pgettext_lazy("alert", "critical")

    class State(models.TextChoices):
        OFF = "off", pgettext_lazy("alert", "not sent: Slack is not set up")
        WAITING = "waiting", pgettext_lazy("alert", "to be sent")
        SENDING = "sending", pgettext_lazy("alert", "being sent")
        SENT = "sent", pgettext_lazy("alert", "sent")
        UNKNOWN = "unknown", pgettext_lazy("alert", "sent perhaps: Slack gave no clear answer")
        FAILED = "failed", pgettext_lazy("alert", "not sent")

    kind = models.CharField(_("kind"), max_length=40)
    subject = models.CharField(_("about"), max_length=160, blank=True)
    level = models.PositiveSmallIntegerField(_("level"), choices=Level.choices)
    title = models.CharField(pgettext_lazy("alert", "title"), max_length=200)
    text = models.TextField(_("log line"), blank=True)
    fields = models.JSONField(_("details"), default=dict)
    count = models.PositiveIntegerField(_("times"), default=1)
    first_at = models.DateTimeField(_("since"))
    last_at = models.DateTimeField(_("last time"))
    over_at = models.DateTimeField(_("over since"), null=True)
    # what is to be sent: the alert itself, or that it is over
    state = models.CharField(_("Slack"), max_length=10, choices=State.choices)
    says_over = models.BooleanField(default=False)
    told = models.BooleanField(default=False)  # Slack has got the alert itself, at least perhaps
    tries = models.PositiveIntegerField(_("tries"), default=0)
    next_try_at = models.DateTimeField()
    claim = models.CharField(max_length=32, blank=True)  # of the message that carries it
    sent_at = models.DateTimeField(_("sent at"), null=True)
    error = models.CharField(_("reason"), max_length=300, blank=True)

    objects = AlertQuerySet.as_manager()

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        ordering = ["-last_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"], condition=Q(over_at__isnull=True), name="alert_once"
            )
        ]
        indexes = [
            models.Index(fields=["state", "next_try_at"], name="alert_to_send"),
            models.Index(fields=["-last_at"], name="alert_last"),
        ]

    def __str__(self) -> str:
        return f"{self.title} {self.subject}".strip()
