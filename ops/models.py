"""What keeps the shop running leaves its traces here."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class JobRun(models.Model):
    """One scheduled run of a job. Unique on job and time, so that two workers run it once."""

    job = models.CharField(_("job"), max_length=40)
    scheduled_for = models.DateTimeField(_("scheduled for"))
    token = models.PositiveIntegerField(
        _("fencing token"), default=1
    )  # grows with each take-over after a crash
    claimed_until = models.DateTimeField(_("claimed until"))
    started_at = models.DateTimeField(_("started at"))
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    succeeded = models.BooleanField(_("succeeded"), null=True)
    message = models.TextField(_("outcome"), blank=True)

    class Meta:
        verbose_name = _("job run")
        verbose_name_plural = _("job runs")
        ordering = ["-scheduled_for"]
        indexes = [models.Index(fields=["scheduled_for"], name="job_run_scheduled")]
        constraints = [models.UniqueConstraint(fields=["job", "scheduled_for"], name="job_run_once")]

    def __str__(self) -> str:
        return f"{self.job} {self.scheduled_for:%Y-%m-%d %H:%M}"


class Heartbeat(models.Model):
    """A long-running process says every 30 seconds that it lives."""

    name = models.CharField(_("process"), max_length=40, primary_key=True)
    beat_at = models.DateTimeField(_("last sign of life"))
    started_at = models.DateTimeField(_("started at"))

    class Meta:
        verbose_name = _("heartbeat")
        verbose_name_plural = _("heartbeats")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class RateBucket(models.Model):
    """How much of a rate limit somebody has used (`ops.limits`); gone when it is full again."""

    key = models.CharField(max_length=80, primary_key=True)
    due = models.BigIntegerField(db_index=True)  # ms since 1970: when the bucket will be full again

    class Meta:
        verbose_name = _("rate limit")
        verbose_name_plural = _("rate limits")
        default_permissions = ()  # nobody reads or edits it

    def __str__(self) -> str:
        return self.key
