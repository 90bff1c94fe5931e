"""The chart of accounts and the journal in the admin: accounts may be added, entries are read."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet, Sum
from django.http import HttpRequest
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from kikaku.admin.columns import day_column, time_column
from kikaku.admin.readonly import ReadOnlyAdmin, ReadOnlyInline
from kikaku.admin.resubmission import retry_on_duplicate
from kikaku.money import yen
from ledger.admin.references import source_link
from ledger.books import posting
from ledger.models import Account, JournalEntry, JournalLine


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    """Chart of accounts: staff may add and rename accounts, and delete none."""

    list_display = ("code", "name_ja", "name_en", "type", "tax_class")
    list_filter = ("type",)
    search_fields = ("code", "name_ja", "name_en")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return whether the user has Django's permission to add accounts."""
        return request.user.has_perm("ledger.add_account")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user has Django's permission to change accounts."""
        return request.user.has_perm("ledger.change_account")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Return the fields that entries depend on: code and type of an existing account."""
        return ("code", "type") if obj is not None else ()

    @retry_on_duplicate
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Return the form of an account, or save it."""
        return super().changeform_view(request, *args, **kwargs)


class JournalLineInline(ReadOnlyInline):
    """Lines of an entry."""

    model = JournalLine
    hide_title = True
    fields = ("account", "debit_yen", "credit_yen")
    readonly_fields = ("debit_yen", "credit_yen")
    ordering = ("position",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the lines with their accounts."""
        return super().get_queryset(request).select_related("account")

    @display(description=gettext_lazy("debit"))
    def debit_yen(self, line: JournalLine) -> str:
        """Return the debit in yen."""
        return yen(line.debit) if line.debit else ""

    @display(description=gettext_lazy("credit"))
    def credit_yen(self, line: JournalLine) -> str:
        """Return the credit in yen."""
        return yen(line.credit) if line.credit else ""


SOURCES: dict[str, Any] = {
    posting.BALANCE_TRANSACTION_SOURCE: gettext_lazy("balance transaction"),
    posting.SHIPMENT_SOURCE: gettext_lazy("shipment"),
    posting.REFUND_SOURCE: gettext_lazy("refund"),
    posting.ENTRY_SOURCE: gettext_lazy("journal entry"),
}


class SourceFilter(admin.SimpleListFilter):
    """Filter of entries by the type of their source."""

    title = gettext_lazy("source")
    parameter_name = "source_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the sources."""
        return list(SOURCES.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the entries of the chosen source."""
        return queryset.filter(source_type=self.value()) if self.value() else queryset


@admin.register(JournalEntry)
class JournalEntryAdmin(ReadOnlyAdmin):
    """Journal entries with their lines."""

    list_display = (
        day_column(JournalEntry, "day"),
        "description",
        "amount_yen",
        "order",
        "source",
        time_column(JournalEntry, "occurred_at"),
    )
    list_filter = (SourceFilter,)
    list_select_related = ("order",)
    search_fields = ("source_id", "order__number", "description")
    date_hierarchy = "day"
    fields = (
        "day",
        "description",
        "order",
        "source",
        "source_name",
        "reverses",
        "occurred_at",
        "created_at",
    )
    readonly_fields = ("source", "source_name")
    inlines = (JournalLineInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the entries with the sum of their debits."""
        found: QuerySet[Any] = super().get_queryset(request).annotate(debit_total=Sum("lines__debit"))
        return found

    @display(description=gettext_lazy("source"), ordering="source_type")
    def source(self, entry: JournalEntry) -> str:
        """Return the type of the entry's source in words."""
        return str(SOURCES.get(entry.source_type, entry.source_type))

    @display(description=gettext_lazy("source id"))
    def source_name(self, entry: JournalEntry) -> str:
        """Return the id of the source, linked to its page and, for a balance transaction, to Stripe."""
        return source_link(entry)

    @display(description=gettext_lazy("amount"))
    def amount_yen(self, entry: Any) -> str:
        """Return what changed hands; in entries of form 1 the sum of the debits."""
        return yen(entry.debit_total or 0 if entry.amount is None else entry.amount)
