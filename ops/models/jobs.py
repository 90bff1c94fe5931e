"""Job runs and heartbeats of processes."""

from django.db import models
from django.utils.timezone import localtime
from django.utils.translation import gettext_lazy as _


class JobRun(models.Model):
    """One scheduled run of a job. Job and time are unique, so that two workers run it once."""

    class Job(models.TextChoices):
        """The jobs of `ops.jobs.schedule.JOBS`."""

        STRIPE_EVENTS = "stripe_events", _("handling Stripe's events")
        BALANCE = "balance", _("fetching balance transactions")
        CHECKOUT_EXPIRY = "checkout_expiry", _("ending unpaid checkouts")
        REFUNDS = "refunds", _("sending refunds")
        MAIL = "mail", _("sending mails")
        DAILY_CLOSE = "daily_close", _("daily close")
        PRUNE = "prune", _("deleting old records")
        TODOS = "todos", _("keeping the to-dos")
        BACKUP = "backup", _("backup")
        ALERTS = "alerts", _("delivering alerts")

    job = models.CharField(_("job"), max_length=40, choices=Job.choices)
    scheduled_for = models.DateTimeField(_("scheduled for"))
    # grows each time another worker takes the run over after a crash
    token = models.PositiveIntegerField(_("fencing token"), default=1)
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
        return f"{self.get_job_display()} {localtime(self.scheduled_for):%Y-%m-%d %H:%M}"


class Heartbeat(models.Model):
    """Sign of life of a long-running process, written every 30 seconds."""

    class Process(models.TextChoices):
        WEB = "web", _("web server")
        WORKER = "worker", _("worker")

    name = models.CharField(_("process"), max_length=40, primary_key=True, choices=Process.choices)
    beat_at = models.DateTimeField(_("last sign of life"))
    started_at = models.DateTimeField(_("started at"))

    class Meta:
        verbose_name = _("heartbeat")
        verbose_name_plural = _("heartbeats")
        ordering = ["name"]

    def __str__(self) -> str:
        return str(self.get_name_display())


class ProcessStart(models.Model):
    """A start of a long-running process, kept for a day: many in a short time are a restart loop."""

    name = models.CharField(_("process"), max_length=40, choices=Heartbeat.Process.choices)
    at = models.DateTimeField(_("started at"), db_index=True)

    class Meta:
        verbose_name = _("start of a process")
        verbose_name_plural = _("starts of processes")
        default_permissions = ()  # not in the admin

    def __str__(self) -> str:
        return f"{self.name} {localtime(self.at):%Y-%m-%d %H:%M:%S}"
