"""Stock: the quantity on hand, the reserved quantity, and the movements that changed it."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _


class StockItem(models.Model):
    """An item in stock. `on_hand` is the sum of its movements; available = on hand − reserved."""

    sku = models.CharField(_("SKU"), max_length=64, unique=True)
    on_hand = models.PositiveIntegerField(_("on hand"), default=0)
    reserved = models.PositiveIntegerField(_("reserved"), default=0)

    class Meta:
        verbose_name = _("stock item")
        verbose_name_plural = _("stock items")
        ordering = ["sku"]
        constraints = [
            models.CheckConstraint(condition=Q(on_hand__gte=0), name="stock_on_hand_not_negative"),
            models.CheckConstraint(
                condition=Q(reserved__gte=0) & Q(reserved__lte=F("on_hand")),
                name="stock_reserved_within_on_hand",
            ),
        ]

    def __str__(self) -> str:
        return self.sku

    @property
    def available(self) -> int:
        """The number of pieces that can still be sold."""
        return self.on_hand - self.reserved


class StockMovement(models.Model):
    """A change of `on_hand`; append-only (database triggers). A reservation is no movement."""

    class Kind(models.TextChoices):
        RECEIPT = "receipt", _("receipt")
        SHIPMENT = "shipment", _("shipment")
        RETURN = "return", _("return")
        ADJUSTMENT = "adjustment", _("adjustment")

    class Reason(models.TextChoices):
        """Why the quantity was corrected; for the monthly list. The first five are also `Shipment.Gift`."""

        PROMOTION = "promotion", _("promotion")
        PRIZE = "prize", _("prize")
        COURTESY = "courtesy", _("courtesy to a customer")
        OWN_USE = "own_use", _("own use")
        OFFICER = "officer", _("for an officer of the company")
        DISPOSAL = "disposal", _("disposal")
        COUNT = "count", _("difference found by counting")

    item = models.ForeignKey(
        StockItem, models.PROTECT, related_name="movements", verbose_name=_("stock item")
    )
    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices)
    quantity = models.IntegerField(_("quantity"), help_text=_("positive: in, negative: out"))
    # what caused it, such as "shipment_line:12"; the constraint below makes each cause count once
    source = models.CharField(_("source"), max_length=80)
    occurred_at = models.DateTimeField(_("occurred at"))
    actor = models.CharField(_("by"), max_length=150, blank=True)
    note = models.CharField(_("note"), max_length=200, blank=True)
    # of an adjustment; null for the other kinds, and in rows that are older than this column
    reason = models.CharField(_("reason"), max_length=12, choices=Reason.choices, null=True)  # noqa: DJ001

    class Meta:
        verbose_name = _("stock movement")
        verbose_name_plural = _("stock movements")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=~Q(quantity=0), name="stock_movement_not_zero"),
            models.UniqueConstraint(fields=["item", "kind", "source"], name="stock_movement_once"),
        ]

    def __str__(self) -> str:
        return f"{self.item_id} {self.quantity:+d}"
