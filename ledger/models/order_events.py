"""The history of orders: one row for each act on an order, written in the transaction of the act."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from ledger.models.orders import Order


class OrderEvent(models.Model):
    """An act on an order: who did what, and when. Append-only (database triggers).

    `data` holds amounts (integer JPY), ids, reasons and instants (ISO 8601), and no personal data. `fact` is
    what the act is about, such as `refund:9`: the same act on the same fact is stored once. `at` is the time
    of the shop's clock; where Stripe has one of its own, it is in `data`.
    """

    class Kind(models.TextChoices):
        """What happened, in the order in which it usually does."""

        PLACED = "placed", _("order placed")
        PAYMENT_STARTED = "payment_started", _("payment started")
        PAYMENT_FAILED = "payment_failed", _("payment attempt failed")
        PAGE_EXPIRED = "page_expired", _("payment page closed")
        VOUCHER_ISSUED = "voucher_issued", _("voucher issued")
        VOUCHER_EXPIRED = "voucher_expired", _("voucher expired")
        PAID = "paid", _("paid")
        PAID_OTHER_AMOUNT = "paid_other_amount", _("another amount paid")
        PAID_TWICE = "paid_twice", _("paid twice")
        PAID_AFTER_CANCELLATION = "paid_after_cancellation", _("paid after cancellation")
        SHIPPED = "shipped", _("parcel shipped")
        PARCEL_CORRECTED = "parcel_corrected", _("parcel corrected")
        CANCELLED = "cancelled", _("order cancelled")
        REST_CANCELLED = "rest_cancelled", _("what was left cancelled")
        REFUND_REQUESTED = "refund_requested", _("refund requested")
        REFUND_WAITING = "refund_waiting", _("refund waits for the customer")
        REFUND_PENDING = "refund_pending", _("refund on its way")
        REFUND_SUCCEEDED = "refund_succeeded", _("refund succeeded")
        REFUND_FAILED = "refund_failed", _("refund failed")
        REFUND_CANCELLED = "refund_cancelled", _("refund cancelled")
        MONEY_KEPT = "money_kept", _("money kept")
        KEPT_TAKEN_BACK = "kept_taken_back", _("kept money refunded after all")
        MAIL_SENT = "mail_sent", _("mail sent")
        MAIL_FAILED = "mail_failed", _("mail given up")
        MAIL_DROPPED = "mail_dropped", _("mail dropped")
        MAIL_WITHHELD = "mail_withheld", _("mail withheld")
        MAIL_QUEUED_AGAIN = "mail_queued_again", _("mail queued again")

    # no index of its own: the one of the constraint begins with it
    order = models.ForeignKey(
        Order, models.PROTECT, related_name="events", db_index=False, verbose_name=_("order")
    )
    kind = models.CharField(_("what happened"), max_length=30, choices=Kind.choices)
    fact = models.CharField(_("about"), max_length=120, blank=True)
    actor = models.CharField(_("by"), max_length=150, blank=True)  # a user's name, customer, stripe, system
    at = models.DateTimeField(_("time"))
    data = models.JSONField(_("data"), default=dict, blank=True)
    # built by a migration from the rows of an order that is older than its history
    reconstructed = models.BooleanField(_("reconstructed"), default=False)

    class Meta:
        verbose_name = _("order event")
        verbose_name_plural = _("order events")
        ordering = ["at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["order", "kind", "fact"], name="order_event_once_per_fact")
        ]

    def __str__(self) -> str:
        return f"{self.order_id} {self.kind} {self.fact}".strip()
