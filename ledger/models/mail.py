"""Mail to customers: a row is written first, and the worker sends it after the commit."""

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext_lazy as _

from ledger.models.orders import Order
from ledger.models.payments import Payment
from ledger.models.querysets import ModelT


class OutgoingMailQuerySet(models.QuerySet[ModelT]):
    """Questions that are asked of mails."""

    def queued(self) -> Self:
        """Return the mails that are to be sent."""
        return self.filter(status=OutgoingMail.Status.QUEUED)

    def due(self, now: datetime) -> Self:
        """Return the queued mails whose next attempt is not in the future."""
        return self.queued().filter(next_attempt_at__lte=now)

    def unsolicited(self) -> Self:
        """Return the mails to an address that has paid for nothing: anybody may have typed it."""
        return self.filter(~Exists(Payment.objects.filter(order=OuterRef("order"))))

    def failed(self) -> Self:
        """Return the mails that were given up."""
        return self.filter(status=OutgoingMail.Status.FAILED)


class OutgoingMail(models.Model):
    """A mail to a customer that is sent once."""

    class Kind(models.TextChoices):
        VOUCHER = "voucher", _("how to pay at the counter")
        VOUCHER_EXPIRED = "voucher_lapsed", _("not paid at the counter")
        ORDER_CONFIRMATION = "order_confirmation", _("order confirmation")
        SHIPPED = "shipped", _("shipped")
        PARCEL_CORRECTED = "parcel_corrected", _("tracking number corrected")
        REFUND_WAITS = "refund_waits", _("refund waits for the bank account")
        REFUNDED = "refunded", _("refunded")
        REFUND_FAILED = "refund_failed", _("refund failed")
        CANCELLED = "cancelled", _("cancelled")
        REST_CANCELLED = "rest_cancelled", _("what was left cancelled")
        DAILY_CLOSE = "daily_close", _("daily close")  # to the merchant
        MESSAGE_RECEIVED = "message_received", _("message received")

    class Status(models.TextChoices):
        QUEUED = "queued", _("queued")
        SENT = "sent", _("sent")
        FAILED = "failed", _("given up")

    order = models.ForeignKey(
        Order, models.PROTECT, null=True, blank=True, related_name="mails", verbose_name=_("order")
    )
    kind = models.CharField(_("kind"), max_length=30, choices=Kind.choices)
    source = models.CharField(_("source"), max_length=80)  # order:7, shipment:3, refund:9: one mail each
    to = models.EmailField(_("to"))
    language = models.CharField(_("language"), max_length=2)
    subject = models.CharField(_("subject"), max_length=200)
    text = models.TextField(_("text"))
    html = models.TextField(_("HTML"))
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.QUEUED)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    next_attempt_at = models.DateTimeField(_("next attempt at"))
    last_error = models.CharField(_("last error"), max_length=300, blank=True)
    created_at = models.DateTimeField(_("created at"))
    sent_at = models.DateTimeField(_("sent at"), null=True, blank=True)

    objects = OutgoingMailQuerySet.as_manager()

    class Meta:
        verbose_name = _("outgoing mail")
        verbose_name_plural = _("outgoing mails")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["status", "next_attempt_at"], name="mail_status_next"),
            models.Index(fields=["created_at"], name="mail_created"),  # how many one recipient got today
        ]
        constraints = [models.UniqueConstraint(fields=["kind", "source"], name="mail_once")]

    def __str__(self) -> str:
        return self.subject
