"""Used rate limits."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class RateBucket(models.Model):
    """Used part of one client's rate limit, see `ops.web.limits`; deleted when the bucket is full again."""

    key = models.CharField(max_length=80, primary_key=True)
    due = models.BigIntegerField(db_index=True)  # ms since 1970: when the bucket will be full again

    class Meta:
        verbose_name = _("rate limit")
        verbose_name_plural = _("rate limits")
        default_permissions = ()  # not in the admin

    def __str__(self) -> str:
        return self.key
