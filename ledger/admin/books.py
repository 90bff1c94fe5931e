"""The chart of accounts and the journal in the admin: accounts may be added, entries are read."""

import re
import unicodedata
from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce, Concat, Least, Replace
from django.http import HttpRequest
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import TextFilter
from unfold.decorators import display

from kikaku.admin.columns import format_local_time
from kikaku.admin.readonly import ReadOnlyAdmin, ReadOnlyInline
from kikaku.admin.resubmission import retry_on_duplicate
from kikaku.admin.search import (
    MAX_WORDS,
    AmountRangeFilter,
    BusinessDayRangeFilter,
    FoldedSearch,
    typed_amount,
    typed_day,
)
from kikaku.folded import contains_folded
from kikaku.money import yen
from kikaku.text import HYPHENS_IN_NUMBERS
from ledger.admin.book_pages import BookPages
from ledger.admin.references import row_link, source_link
from ledger.books import accounts, posting
from ledger.books.tax_labels import tax_label
from ledger.models import Account, JournalEntry, JournalLine, Order
from ledger.models.books import read_year_name


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
    fields = ("account", "debit_yen", "credit_yen", "tax_label", "rate", "tax_yen")
    readonly_fields = ("debit_yen", "credit_yen", "tax_label", "rate", "tax_yen")
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

    @display(description=gettext_lazy("tax class"))
    def tax_label(self, line: JournalLine) -> str:
        """Return what the line is for consumption tax; nothing in an entry of form 1."""
        return tax_label(line.tax_class, line.tax_rate)

    @display(description=gettext_lazy("tax rate"))
    def rate(self, line: JournalLine) -> str:
        """Return the percent of the tax, if there is any."""
        return "" if line.tax_rate is None else f"{line.tax_rate}%"

    @display(description=gettext_lazy("tax"))
    def tax_yen(self, line: JournalLine) -> str:
        """Return the tax on the line in yen."""
        return yen(line.tax) if line.tax else ""


SOURCES: dict[str, Any] = {
    posting.BALANCE_TRANSACTION_SOURCE: gettext_lazy("balance transaction"),
    posting.SHIPMENT_SOURCE: gettext_lazy("shipment"),
    posting.REFUND_SOURCE: gettext_lazy("refund"),
    posting.KEPT_MONEY_SOURCE: gettext_lazy("kept money"),
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


CUSTOMER = Concat("order__family_name", "order__given_name")
# without the space between the names, as it may be typed; of entries of form 1 the customer of the order
PARTY = Replace(Coalesce("counterparty", CUSTOMER), Value(" "), Value(""))


def is_with(name: str) -> Q:
    """Return the condition that an entry is with a counterparty, by all words of a name or a part of it."""
    words = unicodedata.normalize("NFKC", name).replace("\x00", "").split()[:MAX_WORDS]
    condition = Q()
    for word in words:
        condition &= Q(party__icontains=word)
    return condition


class CounterpartyFilter(TextFilter):
    """Filter of entries by the name of the customer, or Stripe."""

    title = gettext_lazy("counterparty")
    parameter_name = "counterparty"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the entries with a counterparty of this name."""
        name = self.value()
        return queryset.annotate(party=PARTY).filter(is_with(name)) if name else queryset


# What changed hands by the lines of an entry of form 1: the debits, less what Stripe kept of a payment, which
# form 1 has on both sides of 1150.
OF_STRIPE = Q(account_id=accounts.STRIPE_BALANCE)
AMOUNT_OF_FORM_1 = Subquery(
    JournalLine.objects.filter(entry=OuterRef("pk"))
    .order_by()
    .values("entry")
    .annotate(
        found=Sum("debit")
        - Least(
            Coalesce(Sum("debit", filter=OF_STRIPE), 0),
            Coalesce(Sum("credit", filter=OF_STRIPE), 0),
        )
    )
    .values("found")
)


class EntryAmountFilter(AmountRangeFilter):
    """Filter of entries by what changed hands."""

    def condition(self, lookup: str, amount: int) -> Q:
        """Return the condition of one bound, also of entries of form 1, which have no amount of their own."""
        return super().condition(lookup, amount) | Q(**{"amount": None, f"amount_of_lines__{lookup}": amount})


def typed_voucher(word: str) -> tuple[int, int] | None:
    """Return the number of the fiscal year and that of a voucher such as 2026-1234; None if it is none."""
    plain = HYPHENS_IN_NUMBERS.sub("-", unicodedata.normalize("NFKC", word))
    found = re.fullmatch(r"(\d{4}(?:0[1-9]|1[0-2])?)-(\d{1,18})", plain, re.ASCII)
    return (read_year_name(found[1]), int(found[2])) if found else None


@admin.register(JournalEntry)
class JournalEntryAdmin(FoldedSearch, BookPages):
    """Journal entries with their lines; an auditor searches by day, amount and counterparty together."""

    list_display = (
        "voucher_number",
        "posting_day",
        "amount_yen",
        "party_name",
        "description",
        "source",
        "occurred_at_written",
    )
    list_filter = (
        ("day", BusinessDayRangeFilter),
        ("amount", EntryAmountFilter),
        CounterpartyFilter,
        SourceFilter,
    )
    list_filter_submit = True
    list_select_related = ("order",)
    search_fields = ("description",)  # see `word_condition`
    search_help_text = gettext_lazy(
        "voucher number, counterparty, order number, description, source id, amount, day"
    )
    date_hierarchy = "day"
    fields = (
        "voucher_number",
        "posting_day",
        "amount_yen",
        "party_name",
        "description",
        "order",
        "source",
        "source_name",
        "reversed_entry",
        "reversal",
        "occurred_at_written",
        "created_at",
    )
    readonly_fields = (
        "voucher_number",
        "posting_day",
        "amount_yen",
        "party_name",
        "source",
        "source_name",
        "reversed_entry",
        "reversal",
        "occurred_at_written",
    )
    inlines = (JournalLineInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the entries; on the page of one with what it reverses, and what reverses it."""
        found: QuerySet[Any] = super().get_queryset(request).annotate(amount_of_lines=AMOUNT_OF_FORM_1)
        return (
            found if self.is_list_page(request) else found.select_related("order", "reverses", "reversed_by")
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Return the entries with all words."""
        searched = queryset.annotate(party=PARTY) if search_term else queryset
        return super().get_search_results(request, searched, search_term)

    def word_condition(self, word: str) -> Q:
        """Return the condition that a word is in an entry or its order, or is its amount, day or number."""
        orders = Order.objects.filter(contains_folded(word)).values("pk")
        found = is_with(word) | Q(order__in=orders) | Q(description__icontains=word) | Q(source_id=word)
        if voucher := typed_voucher(word):  # of form 1 by the calendar year, or by the fiscal year
            year, number = voucher
            found |= Q(pk=number) & (
                Q(fiscal_year=year) | Q(fiscal_year=None, day__year__in=(year, year + 1))
            )
        if (amount := typed_amount(word)) is not None:
            found |= Q(amount=amount) | Q(amount=None, amount_of_lines=amount)
        if day := typed_day(word):
            found |= Q(day=day)
        return found

    @display(description=gettext_lazy("voucher number"), ordering="pk")
    def voucher_number(self, entry: JournalEntry) -> str:
        """Return the number of the entry's voucher."""
        return entry.voucher

    @display(description=gettext_lazy("posting day"), ordering="day")
    def posting_day(self, entry: JournalEntry) -> str:
        """Return the business day of the entry."""
        return str(entry.day)

    @display(description=gettext_lazy("occurred at"), ordering="occurred_at")
    def occurred_at_written(self, entry: JournalEntry) -> str:
        """Return when the fact happened, or its day where only that is known."""
        return format_local_time(entry.occurred_at)

    @display(description=gettext_lazy("counterparty"), ordering="counterparty")
    def party_name(self, entry: JournalEntry) -> str:
        """Return the customer as the entry names them, or Stripe; of form 1 the customer of the order."""
        return entry.counterparty or (entry.order.name if entry.order else "–")

    @display(description=gettext_lazy("amount"), ordering="amount")
    def amount_yen(self, entry: Any) -> str:
        """Return what changed hands, in yen; of form 1 what the lines tell."""
        return yen(entry.amount_of_lines if entry.amount is None else entry.amount)

    @display(description=gettext_lazy("source"), ordering="source_type")
    def source(self, entry: JournalEntry) -> str:
        """Return the type of the entry's source in words."""
        return str(SOURCES.get(entry.source_type, entry.source_type))

    @display(description=gettext_lazy("source id"))
    def source_name(self, entry: Any) -> str:
        """Return the id of the source, linked to its page and, for a balance transaction, to Stripe."""
        if not hasattr(entry, "source_link"):  # a page asks for each field several times
            entry.source_link = source_link(entry)
        return str(entry.source_link)

    @display(description=gettext_lazy("reverses"))
    def reversed_entry(self, entry: JournalEntry) -> str:
        """Return a link to the entry that this one reverses."""
        return row_link(entry.reverses, str(entry.reverses)) if entry.reverses else "–"

    @display(description=gettext_lazy("reversed by"))
    def reversal(self, entry: JournalEntry) -> str:
        """Return a link to the entry that reverses this one."""
        by = getattr(entry, "reversed_by", None)  # Django raises an AttributeError where there is none
        return row_link(by, str(by)) if by else "–"
