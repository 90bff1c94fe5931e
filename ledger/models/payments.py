"""What Stripe reports: events, payments, refunds and balance transactions."""

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from ledger.models.orders import CheckoutAttempt, Order, OrderLine
from ledger.models.querysets import ModelT
from ledger.models.tax import TaxClass


class StripeEventQuerySet(models.QuerySet[ModelT]):
    """Questions that are asked of Stripe's events."""

    def unprocessed(self) -> Self:
        """Return the events that are not done: pending, or failed and to be tried again."""
        return self.filter(status__in=StripeEvent.UNPROCESSED_STATUSES)

    def failed(self) -> Self:
        """Return the events whose last attempt failed."""
        return self.filter(status=StripeEvent.Status.FAILED)

    def open(self) -> Self:
        """Return the events that a person must look at: failed, or of a type that is not handled yet."""
        return self.filter(status__in=(StripeEvent.Status.FAILED, StripeEvent.Status.UNHANDLED))

    def unclaimed(self, now: datetime) -> Self:
        """Return the events that no process holds a lease on."""
        return self.filter(Q(claimed_until__isnull=True) | Q(claimed_until__lte=now))

    def claimable(self, now: datetime) -> Self:
        """Return the unprocessed events that no process holds a lease on."""
        return self.unprocessed().unclaimed(now)

    def due(self, now: datetime) -> Self:
        """Return the claimable events whose pause after a failure is over."""
        return self.claimable(now).filter(Q(retry_at__isnull=True) | Q(retry_at__lte=now))


class StripeEvent(models.Model):
    """A webhook event as received; its id is the primary key, so a second delivery is not a second event."""

    class Status(models.TextChoices):
        PENDING = "pending", _("pending")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")  # stays claimable for Stripe's retry and for our job
        # of a type that concerns the shop's money and has no effect here: a person acts at Stripe
        UNHANDLED = "unhandled", _("not handled")
        SET_ASIDE = "set_aside", _("set aside")  # by a person, with a reason: see `SetAside`

    UNPROCESSED_STATUSES = (Status.PENDING, Status.FAILED)
    ENDED_STATUSES = (Status.DONE, Status.UNHANDLED, Status.SET_ASIDE)

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
    retry_at = models.DateTimeField(_("next attempt"), null=True, blank=True)  # of our job, after a failure
    processed_at = models.DateTimeField(_("processed at"), null=True, blank=True)

    objects = StripeEventQuerySet.as_manager()

    class Meta:
        verbose_name = _("Stripe event")
        verbose_name_plural = _("Stripe events")
        ordering = ["-received_at"]
        indexes = [models.Index(fields=["status", "received_at"], name="event_status_received")]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


class SetAside(models.Model):
    """A person's decision that an event is not to be processed, with the reason."""

    event = models.ForeignKey(
        StripeEvent, models.PROTECT, related_name="set_asides", verbose_name=_("Stripe event")
    )
    reason = models.CharField(_("reason"), max_length=500)
    actor = models.CharField(_("by"), max_length=150)
    at = models.DateTimeField(_("set aside at"))

    class Meta:
        verbose_name = _("event set aside")
        verbose_name_plural = _("events set aside")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.event_id}: {self.reason}"


class Payment(models.Model):
    """Money captured for an order: one succeeded PaymentIntent."""

    class Method(models.TextChoices):
        """The methods that we offer; the column holds any name of Stripe."""

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


class RefundQuerySet(models.QuerySet[ModelT]):
    """Questions that are asked of refunds."""

    def requested(self) -> Self:
        """Return the refunds that are not known to have reached Stripe."""
        return self.filter(status=Refund.Status.REQUESTED)

    def waiting(self) -> Self:
        """Return the refunds that wait at Stripe, for the customer or for the bank."""
        return self.filter(status__in=Refund.WAITING_STATUSES)

    def in_progress(self) -> Self:
        """Return the refunds that are requested, or wait at Stripe."""
        return self.filter(status__in=Refund.IN_PROGRESS_STATUSES)

    def failed(self) -> Self:
        """Return the refunds whose amount stays with us: failed or canceled."""
        return self.filter(status__in=Refund.FAILED_STATUSES)

    def owed(self) -> Self:
        """Return the failed refunds whose amount was taken from the order: it is owed to the customer."""
        return self.failed().filter(withdrawn=False)

    def not_failed(self) -> Self:
        """Return the refunds whose amount is refunded, or still may be."""
        return self.exclude(status__in=Refund.FAILED_STATUSES)


class Refund(models.Model):
    """Money returned to a customer. Where it is taken from is decided at the request; its lines store it."""

    class Status(models.TextChoices):
        REQUESTED = "requested", _("not yet at Stripe")
        REQUIRES_ACTION = "requires_action", _("waits for the customer's bank account")
        PENDING = "pending", _("pending")
        SUCCEEDED = "succeeded", _("succeeded")
        FAILED = "failed", _("failed")
        CANCELED = "canceled", _("canceled")

    WAITING_STATUSES = (Status.REQUIRES_ACTION, Status.PENDING)
    IN_PROGRESS_STATUSES = (Status.REQUESTED, *WAITING_STATUSES)
    FAILED_STATUSES = (Status.FAILED, Status.CANCELED)

    order = models.ForeignKey(Order, models.PROTECT, related_name="refunds", verbose_name=_("order"))
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="refunds", verbose_name=_("payment"))
    # of the form; Stripe's idempotency key is built from it
    nonce = models.CharField(max_length=64, unique=True, editable=False)
    stripe_id = models.CharField(_("refund at Stripe"), max_length=120, unique=True, null=True, blank=True)
    amount = models.PositiveIntegerField(_("amount"))
    status = models.CharField(_("status"), max_length=20, choices=Status.choices, default=Status.REQUESTED)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    failure_reason = models.CharField(_("reason of failure"), max_length=200, blank=True)
    # cancelled before any money moved: its lines count no more, and its first entry is reversed
    withdrawn = models.BooleanField(_("withdrawn"), default=False, editable=False)
    restock = models.BooleanField(_("back to stock"), default=False)
    requested_at = models.DateTimeField(_("requested at"))
    # of one that waits long
    asked_at = models.DateTimeField(_("last asked at Stripe"), null=True, blank=True)
    actor = models.CharField(_("by"), max_length=150, blank=True)

    objects = RefundQuerySet.as_manager()

    class Meta:
        verbose_name = _("refund")
        verbose_name_plural = _("refunds")
        ordering = ["-id"]
        indexes = [models.Index(fields=["status", "requested_at"], name="refund_status_requested")]
        constraints = [models.CheckConstraint(condition=Q(amount__gte=1), name="refund_amount_positive")]

    def __str__(self) -> str:
        return self.stripe_id or f"#{self.pk}"


class RefundLine(models.Model):
    """A part of a refund, and the accounts that it is taken from.

    `prepaid` is taken from 2130 (not yet shipped), `recognised` from sales and tax (shipped), `payable` from
    2120 (owed since an earlier refund failed). The lines of a refund add up to its amount.
    """

    refund = models.ForeignKey(Refund, models.PROTECT, related_name="lines", verbose_name=_("refund"))
    # empty: shipping, or a part of a whole tax class
    order_line = models.ForeignKey(
        OrderLine,
        models.PROTECT,
        related_name="refund_lines",
        null=True,
        blank=True,
        verbose_name=_("order line"),
    )
    # empty: from no tax bucket
    tax_class = models.CharField(_("tax class"), max_length=10, choices=TaxClass.choices, blank=True)
    quantity = models.PositiveIntegerField(_("quantity"), default=0)
    returned = models.PositiveIntegerField(_("returned"), default=0)  # of the quantity: shipped pieces
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
        """The amount of this part (JPY)."""
        return self.prepaid + self.recognised + self.payable


class KeptMoney(models.Model):
    """Money that stays with us although no goods follow: moved to other income; append-only (triggers).

    A negative amount takes back what was kept before, because Stripe refunded it after all.
    """

    order = models.ForeignKey(Order, models.PROTECT, related_name="kept_money", verbose_name=_("order"))
    # of the form: two clicks are one act
    nonce = models.CharField(max_length=64, unique=True, editable=False)
    amount = models.IntegerField(_("amount"))  # JPY
    reason = models.CharField(_("reason"), max_length=200)
    at = models.DateTimeField(_("kept at"))
    actor = models.CharField(_("by"), max_length=150)

    class Meta:
        verbose_name = _("kept money")
        verbose_name_plural = _("kept money")
        ordering = ["-id"]
        constraints = [models.CheckConstraint(condition=~Q(amount=0), name="kept_money_not_zero")]

    def __str__(self) -> str:
        return f"#{self.pk}"


class KeptMoneyLine(models.Model):
    """A part of kept money, and the account that it is taken from; append-only (database triggers).

    `prepaid` is taken from 2130, `payable` from 2120 (owed since a refund failed). The lines add up to the
    amount, and count like those of a refund that takes prepaid money.
    """

    kept = models.ForeignKey(
        KeptMoney, models.PROTECT, related_name="lines", db_index=False, verbose_name=_("kept money")
    )
    # empty: from no tax bucket
    tax_class = models.CharField(_("tax class"), max_length=10, choices=TaxClass.choices, blank=True)
    prepaid = models.IntegerField(_("before shipment"), default=0)
    payable = models.IntegerField(_("owed from a failed refund"), default=0)

    class Meta:
        verbose_name = _("line of kept money")
        verbose_name_plural = _("lines of kept money")
        constraints = [
            models.UniqueConstraint(fields=["kept", "tax_class"], name="kept_money_line_once_per_class")
        ]

    def __str__(self) -> str:
        return f"{self.kept_id}: {self.prepaid + self.payable}"


class StripeAccount(models.Model):
    """The account at Stripe that the books belong to: one row, append-only (database triggers).

    It is written at the first use of an API key; a key of another account or mode is refused ever after.
    """

    row = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    account = models.CharField(_("Stripe account"), max_length=64)  # acct_…
    live = models.BooleanField(_("live mode"))
    first_used_at = models.DateTimeField(_("first used at"))

    class Meta:
        verbose_name = _("Stripe account")
        verbose_name_plural = _("Stripe accounts")
        constraints = [models.CheckConstraint(condition=Q(row=1), name="stripe_account_single")]

    def __str__(self) -> str:
        return f"{self.account} ({'live' if self.live else 'test'} mode)"


class BalanceTransaction(models.Model):
    """A change of one of Stripe's balances, as Stripe reports it; append-only (database triggers)."""

    id = models.CharField(_("balance transaction"), max_length=120, primary_key=True)
    type = models.CharField(_("type"), max_length=40)
    source = models.CharField(_("source"), max_length=120, blank=True)  # ch_…, re_…, po_…
    amount = models.IntegerField(_("gross"))
    fee = models.IntegerField(_("fee"))
    fee_tax = models.IntegerField(_("tax on the fee"), default=0)  # contained in the fee, by `fee_details`
    # whether `fee_details` has a line of tax, be it of ¥0; null in rows that are older than this column
    fee_taxed = models.BooleanField(_("fee is taxed"), null=True)
    # the part of the fee that is taxed, without its tax; null in rows that are older than this column
    taxable_fee = models.IntegerField(_("taxable part of the fee"), null=True)
    net = models.IntegerField(_("net"))
    # such as risk_reserved; null: the balance of payments, which account 1150 is
    other_balance = models.CharField(_("other balance"), max_length=80, null=True, blank=True)  # noqa: DJ001  (older rows)
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

    @property
    def fee_parts(self) -> tuple[int, int, int]:
        """Return the fee (JPY) as its exempt part, its taxable part without tax, and the tax."""
        net = self.fee - self.fee_tax
        if self.taxable_fee is not None:
            taxable = self.taxable_fee
        else:
            is_taxed = bool(self.fee_tax) if self.fee_taxed is None else self.fee_taxed
            taxable = net if is_taxed else 0
        return net - taxable, taxable, self.fee_tax
