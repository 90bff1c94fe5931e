"""What Stripe told us: events, payments, refunds and the transactions of its balance."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from ledger.models.orders import CheckoutAttempt, Order, OrderLine, TaxRate


class StripeEvent(models.Model):
    """A webhook as it came; its id is the key, so a second delivery is no second event."""

    class Status(models.TextChoices):
        PENDING = "pending", _("pending")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")  # stays claimable: by Stripe's retry and by our job

    id = models.CharField(_("event"), max_length=120, primary_key=True)
    type = models.CharField(_("type"), max_length=80)
    api_version = models.CharField(_("API version"), max_length=40, blank=True)
    created = models.DateTimeField(_("created at Stripe"))
    payload = models.JSONField(_("content"))
    received_at = models.DateTimeField(_("received at"))
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.PENDING)
    claimed_until = models.DateTimeField(_("claimed until"), null=True, blank=True)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    last_error = models.TextField(_("last error"), blank=True)
    processed_at = models.DateTimeField(_("processed at"), null=True, blank=True)

    class Meta:
        verbose_name = _("Stripe event")
        verbose_name_plural = _("Stripe events")
        ordering = ["-received_at"]
        indexes = [models.Index(fields=["status", "received_at"], name="event_status_received")]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


class Payment(models.Model):
    """Money captured for an order: one succeeded PaymentIntent."""

    class Method(models.TextChoices):
        """The methods that we offer; the column takes whatever Stripe names."""

        CARD = "card", _("credit card")
        KONBINI = "konbini", _("convenience store")

    order = models.ForeignKey(Order, models.PROTECT, related_name="payments", verbose_name=_("order"))
    attempt = models.ForeignKey(
        CheckoutAttempt,
        models.PROTECT,
        related_name="payments",
        null=True,
        blank=True,
        verbose_name=_("checkout attempt"),
    )
    payment_intent = models.CharField(_("PaymentIntent"), max_length=120, unique=True)
    charge = models.CharField(_("charge"), max_length=120, unique=True, null=True, blank=True)
    amount = models.PositiveIntegerField(_("amount"))  # JPY captured
    method = models.CharField(_("method"), max_length=30, blank=True)  # Stripe's name: card, konbini, …
    brand = models.CharField(_("brand"), max_length=30, blank=True)  # visa, mastercard, jcb, …
    last4 = models.CharField(_("last four digits"), max_length=4, blank=True)
    captured_at = models.DateTimeField(_("captured at"))

    class Meta:
        verbose_name = _("payment")
        verbose_name_plural = _("payments")
        ordering = ["-captured_at"]
        indexes = [models.Index(fields=["captured_at"], name="payment_captured")]

    def __str__(self) -> str:
        return self.payment_intent

    @property
    def means(self) -> str:
        """Name the card, or what else was paid with."""
        if self.brand:
            return f"{self.brand} {self.last4}".strip()
        return str(self.Method(self.method).label) if self.method in self.Method.values else self.method


class Refund(models.Model):
    """Money on its way back. What it takes from is decided when it is asked for, and stored in its lines."""

    class Status(models.TextChoices):
        REQUESTED = "requested", _("not yet at Stripe")
        REQUIRES_ACTION = "requires_action", _("waits for the customer's bank account")
        PENDING = "pending", _("pending")
        SUCCEEDED = "succeeded", _("succeeded")
        FAILED = "failed", _("failed")
        CANCELED = "canceled", _("canceled")

    order = models.ForeignKey(Order, models.PROTECT, related_name="refunds", verbose_name=_("order"))
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="refunds", verbose_name=_("payment"))
    nonce = models.CharField(
        max_length=64, unique=True, editable=False
    )  # of the form; also the key towards Stripe
    stripe_id = models.CharField(_("refund at Stripe"), max_length=120, unique=True, null=True, blank=True)
    amount = models.PositiveIntegerField(_("amount"))
    status = models.CharField(_("status"), max_length=20, choices=Status.choices, default=Status.REQUESTED)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    failure_reason = models.CharField(_("reason of failure"), max_length=200, blank=True)
    restock = models.BooleanField(_("back to stock"), default=False)
    requested_at = models.DateTimeField(_("requested at"))
    asked_at = models.DateTimeField(
        _("last asked at Stripe"), null=True, blank=True
    )  # of one that waits long
    actor = models.CharField(_("by"), max_length=150, blank=True)

    class Meta:
        verbose_name = _("refund")
        verbose_name_plural = _("refunds")
        ordering = ["-id"]
        indexes = [models.Index(fields=["status", "requested_at"], name="refund_status_requested")]
        constraints = [models.CheckConstraint(condition=Q(amount__gte=1), name="refund_amount_positive")]

    def __str__(self) -> str:
        return self.stripe_id or f"#{self.pk}"


class RefundLine(models.Model):
    """A part of a refund, and where the books take it from.

    `prepaid` comes out of 2130 (not yet shipped), `recognised` out of sales and tax (shipped), `payable` out of
    2120 (an earlier refund that failed and is owed). Exactly what adds up to the refund's amount.
    """

    refund = models.ForeignKey(Refund, models.PROTECT, related_name="lines", verbose_name=_("refund"))
    order_line = models.ForeignKey(
        OrderLine,
        models.PROTECT,
        related_name="refund_lines",
        null=True,
        blank=True,
        verbose_name=_("order line"),
    )  # empty: shipping, or a part of a whole rate
    tax_rate = models.PositiveSmallIntegerField(_("tax rate"), choices=TaxRate.choices, null=True, blank=True)
    quantity = models.PositiveIntegerField(_("quantity"), default=0)
    prepaid = models.PositiveIntegerField(_("before shipment"), default=0)
    recognised = models.PositiveIntegerField(_("after shipment"), default=0)
    payable = models.PositiveIntegerField(_("owed from a failed refund"), default=0)

    class Meta:
        verbose_name = _("refund line")
        verbose_name_plural = _("refund lines")

    def __str__(self) -> str:
        return f"{self.refund_id}: {self.amount}"

    @property
    def amount(self) -> int:
        """JPY of this part."""
        return self.prepaid + self.recognised + self.payable


class BalanceTransaction(models.Model):
    """A change of Stripe's balance, as Stripe reports it; append-only (database triggers)."""

    id = models.CharField(_("balance transaction"), max_length=120, primary_key=True)
    type = models.CharField(_("type"), max_length=40)
    source = models.CharField(_("source"), max_length=120, blank=True)  # ch_…, re_…, po_…
    amount = models.IntegerField(_("gross"))
    fee = models.IntegerField(_("fee"))
    fee_tax = models.IntegerField(_("tax on the fee"), default=0)  # contained in the fee, by `fee_details`
    net = models.IntegerField(_("net"))
    created = models.DateTimeField(_("created at Stripe"))
    available_on = models.DateTimeField(_("available on"))
    day = models.DateField(_("business day"))  # of `created`, in JST
    description = models.CharField(_("description"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("balance transaction")
        verbose_name_plural = _("balance transactions")
        ordering = ["-created", "-id"]
        indexes = [
            models.Index(fields=["day"], name="balance_day"),
            models.Index(fields=["source"], name="balance_source"),
        ]

    def __str__(self) -> str:
        return self.id
