"""To-dos: what a person must look at, made from facts by the rules of `ops.todos`."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from ledger.models.querysets import ModelT


class TodoQuerySet(models.QuerySet[ModelT]):
    """Questions that are asked of to-dos."""

    def open(self) -> Self:
        """Return the to-dos that wait for a person."""
        return self.filter(state=Todo.State.OPEN)


class Todo(models.Model):
    """One thing that a person must look at, with who took it and how it ended.

    Of one fact there is one `ongoing` row: open, or ended by staff while the fact is still there. So what
    staff have done does not come back, unless the fact is a new one or has become worse.
    """

    class Kind(models.TextChoices):
        """The kinds, in the order of `ops.todos.rules.RULES`."""

        DIFFERENCE = "difference", pgettext_lazy("to-do", "difference between books and Stripe")
        DISCREPANCY = "discrepancy", pgettext_lazy("to-do", "matter found by the close")
        NEGATIVE_STOCK = "negative_stock", pgettext_lazy("to-do", "more reserved than in stock")
        LOW_STOCK = "low_stock", pgettext_lazy("to-do", "low stock")
        REFUND_RATE = "refund_rate", pgettext_lazy("to-do", "many refunds")
        FAILING_EVENT = "failing_event", pgettext_lazy("to-do", "event of Stripe fails")
        UNFULFILLED = "unfulfilled", pgettext_lazy("to-do", "order not shipped")
        ORDER_VOLUME = "order_volume", pgettext_lazy("to-do", "unusual number of orders")
        PAYMENT_FAILURES = "payment_failures", pgettext_lazy("to-do", "many failed payments")
        HIGH_VALUE = "high_value", pgettext_lazy("to-do", "large order to check")
        DISPUTE = "dispute", pgettext_lazy("to-do", "dispute")
        LATE_VOUCHER = "late_voucher", pgettext_lazy("to-do", "voucher paid too late")

    class Level(models.IntegerChoices):
        WARNING = 1, pgettext_lazy("level", "soon")
        ALARM = 2, pgettext_lazy("level", "urgent")

    class State(models.TextChoices):
        OPEN = "open", pgettext_lazy("to-do", "open")
        DONE = "done", pgettext_lazy("to-do", "done")
        APPROVED = "approved", pgettext_lazy("to-do", "approved")
        REJECTED = "rejected", pgettext_lazy("to-do", "rejected")
        GONE = "gone", pgettext_lazy("to-do", "settled by itself")  # the fact is no longer there

    kind = models.CharField(_("kind"), max_length=20, choices=Kind.choices)
    subject = models.CharField(_("about"), max_length=120)  # a SKU, an order number, an id, a day
    level = models.PositiveSmallIntegerField(_("level"), choices=Level.choices)
    # how bad it is within its level, by a measure of its rule; only compared with itself
    weight = models.PositiveIntegerField(default=0, editable=False)
    fingerprint = models.CharField(max_length=120, blank=True, editable=False)  # which fact it is
    figures = models.JSONField(default=dict, editable=False)  # what its sentence says
    ongoing = models.BooleanField(default=True, editable=False)  # whether the fact is still there
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.OPEN)
    since = models.DateTimeField(_("since"))  # when the fact began
    made_at = models.DateTimeField(_("noticed at"))
    alerted_at = models.DateTimeField(null=True, editable=False)
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="todos",
        verbose_name=_("assigned to"),
    )
    note = models.TextField(_("note"), max_length=500, blank=True)
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)
    ended_by = models.CharField(_("ended by"), max_length=150, blank=True)  # a user's name, or system

    objects = TodoQuerySet.as_manager()

    class Meta:
        verbose_name = _("to-do")
        verbose_name_plural = _("to-dos")
        ordering = ["-level", "since", "id"]
        indexes = [models.Index(fields=["state", "-level", "since"], name="todo_state_level")]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"], condition=Q(ongoing=True), name="todo_once_while_ongoing"
            ),
            models.CheckConstraint(
                condition=~Q(state="open") | Q(ongoing=True, ended_at__isnull=True),
                name="todo_open_is_ongoing",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.subject}"
