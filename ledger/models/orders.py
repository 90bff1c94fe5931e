"""Orders: what was agreed with the customer, as snapshots that no later change of the catalogue affects."""

from datetime import date
from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from kikaku.days import business_day
from kikaku.folded import FoldedField, FoldedModel, FoldedQuerySet
from kikaku.money import REDUCED, STANDARD
from kikaku.transactions import require_transaction
from ledger.models.querysets import ModelT
from ledger.models.stock import StockItem
from ledger.models.tax import TaxClass, TaxRounding


class OrderStatus(models.TextChoices):
    """The state of an order. It only moves forward, as `ledger.sales.orders.ALLOWED_TRANSITIONS` permits."""

    PENDING = "pending", _("awaiting payment")
    PAID = "paid", _("paid")
    PARTIALLY_SHIPPED = "partially_shipped", _("partially shipped")
    SHIPPED = "shipped", _("shipped")
    CANCELLED = "cancelled", _("cancelled")


SHIPPABLE_STATUSES = (OrderStatus.PAID, OrderStatus.PARTIALLY_SHIPPED)
FINISHED_STATUSES = (OrderStatus.SHIPPED, OrderStatus.CANCELLED)  # nothing more is shipped; money may move


class OrderQuerySet(FoldedQuerySet[ModelT]):
    """Questions that are asked of orders."""

    def lock(self, pk: int) -> ModelT:
        """Return the order, read again and locked until the caller's transaction ends.

        On D1 the lock is not waited for: of two units of work that take it the second to commit runs again.
        """
        require_transaction()
        return self.select_for_update().get(pk=pk)

    def pending(self) -> Self:
        """Return the orders that await their payment."""
        return self.filter(status=OrderStatus.PENDING)

    def to_ship(self) -> Self:
        """Return the paid orders of which something is left to ship."""
        return self.filter(status__in=SHIPPABLE_STATUSES)


class Order(FoldedModel):
    """A customer's order; all amounts are integer JPY including tax."""

    class CancelReason(models.TextChoices):
        EXPIRED = "expired", _("not paid in time")
        CUSTOMER = "customer", _("by the customer")
        STAFF = "staff", _("by the shop")
        REFUNDED = "refunded", _("all of its money was refunded")

    number = models.CharField(_("order number"), max_length=20, unique=True)
    token = models.CharField(max_length=64, unique=True, editable=False)  # secret part of the customer's link
    # of the form: two clicks are one order
    nonce = models.CharField(max_length=64, unique=True, editable=False)
    status = models.CharField(
        _("status"), max_length=20, choices=OrderStatus.choices, default=OrderStatus.PENDING
    )
    cancel_reason = models.CharField(
        _("reason of cancellation"), max_length=16, choices=CancelReason.choices, blank=True
    )
    language = models.CharField(
        _("language"), max_length=2, choices=[("ja", _("Japanese")), ("en", _("English"))]
    )

    email = models.EmailField(_("e-mail"))
    family_name = models.CharField(_("family name"), max_length=50)
    given_name = models.CharField(_("given name"), max_length=50)
    family_name_kana = models.CharField(_("family name (kana)"), max_length=50, blank=True)
    given_name_kana = models.CharField(_("given name (kana)"), max_length=50, blank=True)
    postal_code = models.CharField(_("postal code"), max_length=8)  # 123-4567
    prefecture = models.CharField(_("prefecture"), max_length=10)
    city = models.CharField(_("city"), max_length=100)
    street = models.CharField(_("street and number"), max_length=100)
    building = models.CharField(_("building"), max_length=100, blank=True)
    phone = models.CharField(_("phone"), max_length=20)
    note = models.TextField(_("note from the customer"), max_length=1000, blank=True)

    goods_total = models.PositiveIntegerField(_("goods"))  # before the discount
    discount = models.PositiveIntegerField(_("discount"), default=0)
    shipping_fee = models.PositiveIntegerField(_("shipping fee"))
    total = models.PositiveIntegerField(_("total"))
    # by the rules of the day of the order; the books go by the day of shipping
    tax_standard = models.PositiveIntegerField(_("tax, standard rate"))  # contained in the total
    tax_reduced = models.PositiveIntegerField(_("tax, reduced rate"))
    rate_standard = models.PositiveSmallIntegerField(_("standard rate"), null=True)  # percent; null: exempt
    rate_reduced = models.PositiveSmallIntegerField(_("reduced rate"), null=True)
    tax_rounding = models.CharField(_("fractions of a yen"), max_length=7, choices=TaxRounding.choices)

    # hash of the network that it was placed from; null if not placed on the shop's pages
    client = models.CharField(max_length=32, null=True, editable=False)  # noqa: DJ001
    placed_at = models.DateTimeField(_("placed at"))
    paid_at = models.DateTimeField(_("paid at"), null=True, blank=True)
    shipped_at = models.DateTimeField(_("shipped at"), null=True, blank=True)
    cancelled_at = models.DateTimeField(_("cancelled at"), null=True, blank=True)

    search_text = FoldedField(
        "{number}",
        "{family_name}{given_name}",
        "{family_name_kana}{given_name_kana}",
        "{email}",
        "{phone}",
        "{postal_code}",
        "{prefecture}{city}{street}{building}",
    )

    objects = OrderQuerySet.as_manager()

    class Meta:
        verbose_name = _("order")
        verbose_name_plural = _("orders")
        ordering = ["-placed_at", "-id"]
        permissions = [
            ("ship_order", gettext_noop("ship, and correct parcels")),
            ("refund_order", gettext_noop("refund up to the ceiling, keep fees")),
            ("refund_above_ceiling", gettext_noop("refund above the ceiling")),
            ("cancel_order", gettext_noop("cancel orders")),
        ]
        indexes = [
            models.Index(fields=["status", "placed_at"], name="order_status_placed"),
            # what a daily close counts
            models.Index(fields=["placed_at"], name="order_placed"),
            models.Index(fields=["paid_at"], name="order_paid"),
            models.Index(fields=["cancelled_at"], name="order_cancelled"),
            # the orders of a client within an hour
            models.Index(fields=["client", "placed_at"], name="order_client_placed"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(total=F("goods_total") - F("discount") + F("shipping_fee")),
                name="order_total_adds_up",
            ),
            models.CheckConstraint(condition=Q(status__in=OrderStatus.values), name="order_status_known"),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def name(self) -> str:
        """The full name in the Japanese order."""
        return f"{self.family_name} {self.given_name}"

    @property
    def tax_rates(self) -> dict[str, int | None]:
        """The rates of the day of the order in percent, by tax class; None: exempt."""
        return {STANDARD: self.rate_standard, REDUCED: self.rate_reduced}

    @property
    def taxes(self) -> dict[str, int]:
        """The tax (JPY) contained in the total, by tax class."""
        return {STANDARD: self.tax_standard, REDUCED: self.tax_reduced}


class OrderAllowance(models.Model):
    """A customer for whom staff have lifted the limits of unpaid orders and of vouchers."""

    email = models.EmailField(_("e-mail"), unique=True)
    note = models.CharField(_("note"), max_length=200)

    class Meta:
        verbose_name = _("customer without limits")
        verbose_name_plural = _("customers without limits")
        ordering = ["email"]

    def __str__(self) -> str:
        return self.email


class OrderLineQuerySet(FoldedQuerySet[ModelT]):
    """Questions that are asked of order lines."""

    def unshipped(self) -> Self:
        """Return the lines of which pieces are still to be shipped."""
        return self.filter(quantity__gt=F("shipped") + F("cancelled"))


class OrderLine(FoldedModel):
    """A snapshot of what was bought: it never changes with the catalogue."""

    order = models.ForeignKey(Order, models.PROTECT, related_name="lines", verbose_name=_("order"))
    position = models.PositiveSmallIntegerField(_("position"))
    item = models.ForeignKey(
        StockItem, models.PROTECT, related_name="order_lines", verbose_name=_("stock item")
    )
    sku = models.CharField(_("SKU"), max_length=64)
    title = models.CharField(_("title"), max_length=200)  # in the order's language, options included
    # for those who pack, if the order's language is another one
    title_ja = models.CharField(_("title (Japanese)"), max_length=200, blank=True)
    unit_price = models.PositiveIntegerField(_("unit price"))
    quantity = models.PositiveIntegerField(_("quantity"))
    # this line's share of the order's discount
    discount = models.PositiveIntegerField(_("discount"), default=0)
    total = models.PositiveIntegerField(_("amount"))
    tax_class = models.CharField(_("tax class"), max_length=10, choices=TaxClass.choices)

    # of `quantity`: reserved + shipped + cancelled ≤ quantity; the rest is unreserved because the order ended
    reserved = models.PositiveIntegerField(_("reserved"), default=0)
    shipped = models.PositiveIntegerField(_("shipped"), default=0)
    cancelled = models.PositiveIntegerField(_("cancelled"), default=0)  # never to be shipped
    returned = models.PositiveIntegerField(_("returned"), default=0)  # of the shipped: refunded by quantity

    search_text = FoldedField("{title}", "{title_ja}", "{sku}")

    objects = OrderLineQuerySet.as_manager()

    class Meta:
        verbose_name = _("order line")
        verbose_name_plural = _("order lines")
        ordering = ["order", "position"]
        constraints = [
            models.UniqueConstraint(fields=["order", "position"], name="order_line_position_once"),
            models.CheckConstraint(condition=Q(quantity__gte=1), name="order_line_quantity_positive"),
            models.CheckConstraint(
                condition=Q(total=F("unit_price") * F("quantity") - F("discount")),
                name="order_line_total_adds_up",
            ),
            models.CheckConstraint(
                condition=Q(quantity__gte=F("reserved") + F("shipped") + F("cancelled")),
                name="order_line_pieces_add_up",
            ),
            models.CheckConstraint(
                condition=Q(returned__lte=F("shipped")), name="order_line_returned_within_shipped"
            ),
            models.CheckConstraint(
                condition=Q(tax_class__in=TaxClass.values), name="order_line_tax_class_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.title} × {self.quantity}"

    @property
    def packing_title(self) -> str:
        """The title in Japanese, if it is known."""
        return self.title_ja or self.title

    @property
    def shippable(self) -> int:
        """The number of pieces still to be shipped."""
        return self.quantity - self.shipped - self.cancelled

    @property
    def returnable(self) -> int:
        """The number of shipped pieces that were not refunded."""
        return self.shipped - self.returned

    @property
    def refundable(self) -> int:
        """The number of pieces that were not refunded, shipped or not."""
        return self.quantity - self.cancelled - self.returned


class CheckoutAttemptQuerySet(models.QuerySet[ModelT]):
    """Questions that are asked of checkout attempts."""

    def live(self) -> Self:
        """Return the attempts whose payment page may be open; an order has one at most."""
        return self.filter(status__in=CheckoutAttempt.LIVE_STATUSES)

    def waiting(self) -> Self:
        """Return the attempts that wait for the payment of a voucher."""
        return self.filter(status=CheckoutAttempt.Status.WAITING)

    def payable(self) -> Self:
        """Return the attempts that may still be paid: live or waiting."""
        return self.filter(status__in=(*CheckoutAttempt.LIVE_STATUSES, CheckoutAttempt.Status.WAITING))


class CheckoutAttempt(models.Model):
    """One attempt to be paid: a Checkout Session at Stripe, with its own idempotency key."""

    class Status(models.TextChoices):
        CREATED = "created", _("not yet at Stripe")
        OPEN = "open", _("page open")
        WAITING = "waiting", _("to be paid at the counter")  # complete at Stripe, a voucher is out, not paid
        COMPLETE = "complete", _("complete")
        EXPIRED = "expired", _("expired")

    LIVE_STATUSES = (Status.CREATED, Status.OPEN)

    order = models.ForeignKey(Order, models.PROTECT, related_name="attempts", verbose_name=_("order"))
    idempotency_key = models.CharField(_("idempotency key"), max_length=64, unique=True)
    session_id = models.CharField(_("Checkout Session"), max_length=120, unique=True, null=True, blank=True)
    url = models.TextField(_("payment page"), blank=True)
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.CREATED)
    last_error = models.CharField(_("last error"), max_length=300, blank=True)  # Stripe's words on a decline
    created_at = models.DateTimeField(_("created at"))
    expires_at = models.DateTimeField(_("expires at"))  # sent to Stripe unchanged
    # when the thank-you page asked Stripe about it, because its event had not arrived
    asked_at = models.DateTimeField(_("last asked at Stripe"), null=True, blank=True)

    # whether its page offers them; null in rows that are older than this column, which do
    offers_vouchers = models.BooleanField(_("vouchers offered"), null=True)
    # A payment that the customer makes later, with a voucher: see `ledger.stripe.methods`.
    method = models.CharField(_("method"), max_length=30, blank=True)  # konbini; empty without a voucher
    voucher_url = models.TextField(_("voucher"), blank=True)
    voucher_expires_at = models.DateTimeField(_("to be paid until"), null=True, blank=True)
    voucher_codes = models.JSONField(_("codes"), default=dict, blank=True)  # by store, as Stripe names it

    objects = CheckoutAttemptQuerySet.as_manager()

    class Meta:
        verbose_name = _("checkout attempt")
        verbose_name_plural = _("checkout attempts")
        ordering = ["-id"]
        indexes = [models.Index(fields=["status", "expires_at"], name="attempt_status_expires")]
        constraints = [
            # a customer with two open payment pages may pay twice
            models.UniqueConstraint(
                fields=["order"],
                condition=Q(status__in=["created", "open"]),
                name="attempt_one_live_per_order",
            ),
        ]

    def __str__(self) -> str:
        return self.session_id or self.idempotency_key


class ShipmentQuerySet(FoldedQuerySet[ModelT]):
    """Parcels, with their folded text."""


class Shipment(FoldedModel):
    """A parcel that was sent."""

    class Gift(models.TextChoices):
        """Why goods leave for which no money is left; for the list of what was given away."""

        PROMOTION = "promotion", _("promotion")
        PRIZE = "prize", _("prize")
        COURTESY = "courtesy", _("courtesy to a customer")
        OWN_USE = "own_use", _("own use")
        OFFICER = "officer", _("for an officer of the company")

    order = models.ForeignKey(Order, models.PROTECT, related_name="shipments", verbose_name=_("order"))
    # of the form: two clicks are one parcel
    nonce = models.CharField(max_length=64, unique=True, editable=False)
    carrier = models.CharField(_("carrier"), max_length=40)
    tracking_number = models.CharField(_("tracking number"), max_length=60, blank=True)
    gift = models.CharField(_("as a gift"), max_length=12, choices=Gift.choices, blank=True)  # empty: sold
    # the end of its day when it was entered on a later one; `kikaku.days.is_day_only`
    shipped_at = models.DateTimeField(_("shipped at"))
    # JST, the day in the customer's mail; empty for parcels of earlier versions
    arrives_on = models.DateField(_("expected on"), null=True, blank=True)
    actor = models.CharField(_("by"), max_length=150, blank=True)
    search_text = FoldedField("{tracking_number}")

    objects = ShipmentQuerySet.as_manager()

    class Meta:
        verbose_name = _("shipment")
        verbose_name_plural = _("shipments")
        ordering = ["-id"]
        indexes = [models.Index(fields=["shipped_at"], name="shipment_shipped")]

    def __str__(self) -> str:
        return f"{self.carrier} {self.tracking_number}".strip()

    @property
    def shipped_on(self) -> date:
        """The JST day on which it left (出荷日): the sale's."""
        return business_day(self.shipped_at)


class ShipmentLine(models.Model):
    """Pieces of an order line in a parcel."""

    shipment = models.ForeignKey(Shipment, models.PROTECT, related_name="lines", verbose_name=_("shipment"))
    order_line = models.ForeignKey(
        OrderLine, models.PROTECT, related_name="shipment_lines", verbose_name=_("order line")
    )
    quantity = models.PositiveIntegerField(_("quantity"))
    # why goods of ¥0 were given, also with what is sold; None: they cost something (or an earlier version)
    gift = models.CharField(_("as a gift"), max_length=12, choices=Shipment.Gift.choices, null=True)  # noqa: DJ001

    class Meta:
        verbose_name = _("shipment line")
        verbose_name_plural = _("shipment lines")
        constraints = [
            models.UniqueConstraint(fields=["shipment", "order_line"], name="shipment_line_once"),
            models.CheckConstraint(condition=Q(quantity__gte=1), name="shipment_line_quantity_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.order_line_id} × {self.quantity}"
