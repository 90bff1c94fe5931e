"""The daily close: closed days, their balances and evidence, and discrepancies."""

from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop, pgettext_lazy

from ledger.models.books import Account
from ledger.models.querysets import ModelT


class DailyClose(models.Model):
    """A closed business day; append-only (database triggers). No new entry can be dated into it."""

    day = models.DateField(_("business day"), primary_key=True)
    run = models.PositiveIntegerField(_("run"))  # evidence is stored below daily-close/<day>/<run>/
    stripe_balance = models.BigIntegerField(_("Stripe balance at the cut"))  # JPY, available + pending
    book_balance = models.BigIntegerField(_("account 1150 at the cut"))  # JPY
    differences = models.PositiveIntegerField(_("differences"))
    manifest_sha256 = models.CharField(_("manifest"), max_length=64)
    # empty: the first day
    previous_sha256 = models.CharField(_("previous manifest"), max_length=64, blank=True)
    closed_at = models.DateTimeField(_("closed at"))

    class Meta:
        verbose_name = _("daily close")
        verbose_name_plural = _("daily closes")
        ordering = ["-day"]
        permissions = [("close_day", gettext_noop("close days by hand"))]

    def __str__(self) -> str:
        return str(self.day)


class ClosingBalance(models.Model):
    """The balance of an account at the end of a closed day; append-only (database triggers).

    A closed day gains no entry, so later balances are computed from here instead of from the first entry.
    """

    close = models.ForeignKey(
        DailyClose, models.PROTECT, related_name="balances", db_index=False, verbose_name=_("daily close")
    )
    account = models.ForeignKey(
        Account, models.PROTECT, related_name="closing_balances", db_index=False, verbose_name=_("account")
    )
    debit = models.PositiveBigIntegerField(_("debit"))  # JPY, since the books began
    credit = models.PositiveBigIntegerField(_("credit"))
    # of 2130 and 2120, whose sub-ledger is kept by order:
    open_orders = models.PositiveIntegerField(_("open orders"), default=0)
    without_order = models.BigIntegerField(_("without order"), default=0)  # JPY owed (credit − debit)

    class Meta:
        verbose_name = _("closing balance")
        verbose_name_plural = _("closing balances")
        ordering = ["close", "account"]
        constraints = [
            models.UniqueConstraint(fields=["close", "account"], name="closing_balance_once_per_account")
        ]

    def __str__(self) -> str:
        return f"{self.close_id} {self.account_id} {self.debit - self.credit}"


class EvidenceFile(models.Model):
    """A file stored as evidence of a closed day, with its fingerprint; append-only (database triggers)."""

    close = models.ForeignKey(DailyClose, models.PROTECT, related_name="files", verbose_name=_("daily close"))
    path = models.CharField(_("path"), max_length=200, unique=True)
    sha256 = models.CharField(_("SHA-256"), max_length=64)
    size = models.PositiveIntegerField(_("size"))  # bytes

    class Meta:
        verbose_name = _("evidence file")
        verbose_name_plural = _("evidence files")
        ordering = ["path"]

    def __str__(self) -> str:
        return self.path


class DiscrepancyQuerySet(models.QuerySet[ModelT]):
    """Questions that are asked of discrepancies."""

    def of_category(self, *categories: "Discrepancy.Category") -> Self:
        """Return the discrepancies whose kind belongs to one of the categories."""
        return self.filter(kind__in=[kind for kind in Discrepancy.Kind if kind.category in categories])

    def unresolved(self) -> Self:
        """Return the discrepancies that wait for a person: no notices, and none that is resolved."""
        waiting = self.filter(resolved_at__isnull=True)
        return waiting.of_category(Discrepancy.Category.DIFFERENCE, Discrepancy.Category.TO_DO)


class Discrepancy(models.Model):
    """A finding of an event handler or a close; all but notices are resolved by a person.

    Its kind decides its category: the exit code of a close counts differences alone.
    """

    class Category(models.TextChoices):
        DIFFERENCE = (
            "difference",
            pgettext_lazy("category", "difference"),
        )  # our books and Stripe do not agree
        TO_DO = "to_do", pgettext_lazy("category", "to do")  # they agree, and a person must act
        NOTICE = "notice", pgettext_lazy("category", "notice")  # handled automatically

    class Kind(models.TextChoices):
        MISSING_AT_STRIPE = "missing_at_stripe", _("in our books, not at Stripe")
        MISSING_IN_BOOKS = "missing_in_books", _("at Stripe, not in our books")
        AMOUNT = "amount", _("amounts differ")
        BALANCE = "balance", _("Stripe's balance differs from account 1150")
        UNKNOWN_TYPE = "unknown_type", _("unknown Stripe transaction type")
        LATE = "late", _("surfaced after its day was closed")
        PAID_OTHER_AMOUNT = "paid_other_amount", _("another amount paid than the order's total")
        PAID_AFTER_CANCELLATION = "paid_after_cancellation", _("paid after cancellation")
        PAID_TWICE = "paid_twice", _("paid twice")
        FOREIGN_CURRENCY = "foreign_currency", _("money in another currency")
        OTHER_BALANCE = "other_balance", _("money in another balance at Stripe")
        REFUND_FAILED = "refund_failed", _("refund failed")
        REFUND_REPLACED = "refund_replaced", _("refund failed, another one paid its amount")
        REFUND_WITHDRAWN = "refund_withdrawn", _("refund cancelled before its money moved")
        WITHDRAWN_TO_DECIDE = "withdrawn_to_decide", _("refund cancelled: decide about its money")
        MONEY_GONE = "money_gone", _("money refunded, goods not shipped: decide about the order")
        PAYMENT_MISSING = (
            "payment_missing",
            _("payment page complete, no payment: decide about the order"),
        )
        FEE_TAX = "fee_tax", _("tax of a fee that fits no part of it")
        INVARIANT = "invariant", _("an invariant of the books is broken")

        @property
        def category(self) -> "Discrepancy.Category":
            """Return whether this kind is a difference, a task for a person, or a notice."""
            return CATEGORIES[self]

    kind = models.CharField(_("kind"), max_length=30, choices=Kind.choices)
    object_id = models.CharField(_("object"), max_length=120)  # txn_…, ch_…, re_…, order number
    amount = models.BigIntegerField(_("difference"), default=0)  # JPY
    day = models.DateField(_("business day"))
    detail = models.CharField(_("detail"), max_length=500, blank=True)
    created_at = models.DateTimeField(_("found at"))
    resolved_at = models.DateTimeField(_("resolved at"), null=True, blank=True)
    resolved_by = models.CharField(_("resolved by"), max_length=150, blank=True)
    resolution = models.CharField(_("resolution"), max_length=500, blank=True)

    objects = DiscrepancyQuerySet.as_manager()

    class Meta:
        verbose_name = _("discrepancy")
        verbose_name_plural = _("discrepancies")
        ordering = ["-id"]
        permissions = [("resolve_discrepancy", gettext_noop("resolve discrepancies"))]
        indexes = [
            models.Index(fields=["day"], condition=Q(resolved_at__isnull=True), name="discrepancy_open_day")
        ]
        constraints = [models.UniqueConstraint(fields=["kind", "object_id", "day"], name="discrepancy_once")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.object_id}"

    @property
    def category(self) -> Category:
        """Return the category of the discrepancy's kind."""
        return self.Kind(self.kind).category

    @property
    def needs_person(self) -> bool:
        """Return whether a person must act or explain: it is no notice, and not resolved."""
        return self.resolved_at is None and self.category != self.Category.NOTICE


CATEGORIES: dict[Discrepancy.Kind, Discrepancy.Category] = {
    Discrepancy.Kind.MISSING_AT_STRIPE: Discrepancy.Category.DIFFERENCE,
    Discrepancy.Kind.MISSING_IN_BOOKS: Discrepancy.Category.DIFFERENCE,
    Discrepancy.Kind.AMOUNT: Discrepancy.Category.DIFFERENCE,
    Discrepancy.Kind.BALANCE: Discrepancy.Category.DIFFERENCE,
    Discrepancy.Kind.INVARIANT: Discrepancy.Category.DIFFERENCE,
    Discrepancy.Kind.UNKNOWN_TYPE: Discrepancy.Category.TO_DO,  # posted to 9990, until it is decided
    Discrepancy.Kind.PAID_OTHER_AMOUNT: Discrepancy.Category.TO_DO,
    Discrepancy.Kind.FOREIGN_CURRENCY: Discrepancy.Category.TO_DO,  # our books are in yen only
    Discrepancy.Kind.REFUND_FAILED: Discrepancy.Category.TO_DO,
    Discrepancy.Kind.WITHDRAWN_TO_DECIDE: Discrepancy.Category.TO_DO,
    Discrepancy.Kind.MONEY_GONE: Discrepancy.Category.TO_DO,
    Discrepancy.Kind.PAYMENT_MISSING: Discrepancy.Category.TO_DO,
    Discrepancy.Kind.FEE_TAX: Discrepancy.Category.TO_DO,  # the exempt part is posted to 6110
    Discrepancy.Kind.REFUND_REPLACED: Discrepancy.Category.NOTICE,
    Discrepancy.Kind.REFUND_WITHDRAWN: Discrepancy.Category.NOTICE,
    Discrepancy.Kind.LATE: Discrepancy.Category.NOTICE,  # posted on the first open day
    Discrepancy.Kind.PAID_AFTER_CANCELLATION: Discrepancy.Category.NOTICE,  # the money is sent back
    Discrepancy.Kind.PAID_TWICE: Discrepancy.Category.NOTICE,
    Discrepancy.Kind.OTHER_BALANCE: Discrepancy.Category.NOTICE,  # such as a reserve that Stripe holds
}
