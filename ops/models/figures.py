"""Figures of operation: requests by ten minutes, the size of the database by day."""

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _


class RequestFigures(models.Model):
    """Requests of one group within ten minutes; the row of 1970 has all of all times."""

    BUCKETS: ClassVar = (5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000)  # upper limits in ms

    at = models.DateTimeField(_("beginning"))
    route_group = models.CharField(max_length=20)
    succeeded = models.PositiveBigIntegerField(default=0)  # statuses below 400
    client_errors = models.PositiveBigIntegerField(default=0)
    server_errors = models.PositiveBigIntegerField(default=0)
    total_us = models.PositiveBigIntegerField(default=0)  # microseconds: a stored page takes 200 of them
    within_5 = models.PositiveBigIntegerField(default=0)
    within_10 = models.PositiveBigIntegerField(default=0)
    within_25 = models.PositiveBigIntegerField(default=0)
    within_50 = models.PositiveBigIntegerField(default=0)
    within_100 = models.PositiveBigIntegerField(default=0)
    within_250 = models.PositiveBigIntegerField(default=0)
    within_500 = models.PositiveBigIntegerField(default=0)
    within_1000 = models.PositiveBigIntegerField(default=0)
    within_2500 = models.PositiveBigIntegerField(default=0)
    within_5000 = models.PositiveBigIntegerField(default=0)
    beyond = models.PositiveBigIntegerField(default=0)

    class Meta:
        verbose_name = _("request figures")
        verbose_name_plural = _("request figures")
        default_permissions = ()  # shown on the operations page
        constraints = [models.UniqueConstraint(fields=["at", "route_group"], name="request_figures_once")]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.route_group}"

    @classmethod
    def bucket_names(cls) -> tuple[str, ...]:
        """Return the columns of the buckets, in their order."""
        return (*(f"within_{limit}" for limit in cls.BUCKETS), "beyond")


class DatabaseSize(models.Model):
    """The size of the database at the end of a day."""

    day = models.DateField(_("day"), primary_key=True)  # JST
    size = models.PositiveBigIntegerField(_("bytes"))

    class Meta:
        verbose_name = _("size of the database")
        verbose_name_plural = _("sizes of the database")
        default_permissions = ()  # shown on the operations page

    def __str__(self) -> str:
        return f"{self.day} {self.size}"
