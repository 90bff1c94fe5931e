"""The checks of the books and of the evidence, and what a check reports.

The English labels are stored: in `report.json`, in the discrepancies of a close, in its messages. Evidence
that was written years ago is read by them, so a label may be added but not changed.
"""

from dataclasses import dataclass

from django.db import models
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from django.utils.translation import override, pgettext_lazy

from ledger.closing.japanese import in_words, object_name, table_name
from ledger.models import Discrepancy


class Check(models.TextChoices):
    """A check. Its label is English in reports, discrepancies and messages, Japanese on pages."""

    # of every close; `ledger.closing.checks.DAILY_CHECKS` lists them in the order of the report
    ENTRY_BALANCED = "entry_balanced", _("entry balanced")
    TRIAL_BALANCE = "trial_balance", _("trial balance")
    STRIPE_BALANCE_SOURCE = "stripe_balance_source", _("1150 by balance transactions only")
    TRANSACTION_ENTRY = "transaction_entry", _("entry of a transaction")
    TRANSACTION_NET = "transaction_net", _("net of a transaction")
    ENTRY_DAY = "entry_day", _("day of an entry")
    ENTRY_SOURCE = "entry_source", _("source of an entry")
    ENTRY_AMOUNT = "entry_amount", _("amounts of an entry")
    PREPAYMENTS = "prepayments", _("sub-ledger of 2130")
    REFUNDS_PAYABLE = "refunds_payable", _("sub-ledger of 2120")
    SHIPPED_PREPAYMENT = "shipped_prepayment", _("2130 of a shipped order")
    TAX_STANDARD_POSTED = "tax_10_posted", format_lazy(_("tax {rate} posted"), rate="10%")
    TAX_STANDARD_REVERSED = "tax_10_reversed", format_lazy(_("tax {rate} reversed"), rate="10%")
    TAX_REDUCED_POSTED = (
        "tax_8_posted",
        format_lazy(pgettext_lazy("reduced rate", "tax {rate} posted"), rate="8%"),
    )
    TAX_REDUCED_REVERSED = (
        "tax_8_reversed",
        format_lazy(pgettext_lazy("reduced rate", "tax {rate} reversed"), rate="8%"),
    )
    LINE_TAX = "line_tax", _("tax of the lines of an entry")
    # of the whole books
    ORDER_TOTAL = "order_total", _("order adds up")
    PAID_ORDER = "paid_order", _("paid order")
    REFUNDED_PAYMENT = "refunded_payment", _("captured ≥ refunded")
    REFUND_PARTS = "refund_parts", _("parts of a refund")
    SHIPPED_PIECES = "shipped_pieces", _("shipped pieces")
    PARCEL_ENTRY = "parcel_entry", _("entry of a parcel")
    UNPAID_REFUND_ENTRY = "unpaid_refund_entry", _("entry of an unpaid refund")
    KEPT_MONEY_ENTRY = "kept_money_entry", _("entry of kept money")
    STOCK = "stock", _("stock")
    ORDER_STATUS = "order_status", _("status of an order")
    REFUND_STATUS = "refund_status", _("status of a refund")
    LINE_PIECES = "line_pieces", _("pieces of an order line")
    ACCOUNT_TYPE = "account_type", _("type of an account")
    EMPTIED_EVENT = "emptied_event", _("content of a Stripe event")
    # of the closed days and their evidence
    APPEND_ONLY = "append_only", _("append-only")
    CONSECUTIVE_DAYS = "consecutive_days", _("days close without gaps")
    MANIFEST_CHAIN = "manifest_chain", _("chain of manifests")
    MANIFEST = "manifest", _("manifest")
    EVIDENCE_FILE = "evidence_file", _("evidence")
    STRIPE_BALANCE_AT_DAY_END = (
        "stripe_balance_at_cut",
        _("1150 at the cut"),
    )  # "cut": end of the business day
    CLOSING_BALANCE = "closing_balance", _("closing balance")
    CLOSED_REPORT = "closed_report", _("report of a closed day")
    CLOSED_JOURNAL = "closed_journal", _("journal of a closed day")
    CLOSED_DISCREPANCIES = "closed_discrepancies", _("discrepancies of a closed day")
    CLOSED_PAYMENTS = "closed_payments", _("payments of a closed day")
    CLOSED_RECORDS = "closed_records", _("records of a closed day")
    CLOSED_DAY = "closed_day", _("a day that was closed")
    ANCHOR = "anchor", _("manifest kept elsewhere")
    CLOSED_TRANSACTIONS = "closed_transactions", _("transaction of a closed day")
    # of the database
    OTHER_TRIGGER = "other_trigger", _("trigger of the database")

    @property
    def fatal(self) -> bool:
        """Return whether a finding proves the books unbalanced, so that no day can be closed."""
        return self in (Check.ENTRY_BALANCED, Check.TRIAL_BALANCE)

    @property
    def english_label(self) -> str:
        """Return the English label, whatever language is active: the evidence stores it."""
        with override(None):
            return str(self.label)

    @classmethod
    def from_english_label(cls, label: str) -> "Check | None":
        """Return the check with this English label; None for one that this version does not know."""
        return next((check for check in cls if check.english_label == label), None)


def check_name(label: str) -> str:
    """Return the Japanese name of a check by its English label; an unknown label stays as it is."""
    check = Check.from_english_label(label)
    with override("ja"):
        return label if check is None else str(check.label)


def discrepancy_object(kind: str, object_id: str) -> str:
    """Return the object of a discrepancy as staff read it: of a check with the check's Japanese name."""
    label, colon, name = object_id.partition(": ")
    is_of_check = kind == Discrepancy.Kind.INVARIANT and colon
    return f"{check_name(label)}：{object_name(name)}" if is_of_check else object_id


@dataclass(frozen=True)
class Finding:
    """One row or file that is wrong: what it should be and what it is."""

    check: Check
    table: str
    object_id: str
    expected: str
    found: str

    def __str__(self) -> str:
        return (
            f"{self.check.english_label}: {self.table} {self.object_id}: "
            f"expected {self.expected}, found {self.found}"
        )

    def in_japanese(self) -> str:
        """Return the finding as discrepancies and reports have it, whatever language is active."""
        with override("ja"):
            name = f"{self.check.label}：{table_name(self.table)} {object_name(self.object_id)}"
            return f"{name}　正 {in_words(self.expected)}／現 {in_words(self.found)}"
