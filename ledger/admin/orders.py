"""Orders and parcels in the admin: a list of what is to be done, and a page with everything of an order."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from kikaku.admin.columns import format_local_time, link, time_column
from kikaku.admin.search import AmountRangeFilter, DayRangeFilter, FoldedSearch, typed_amount, typed_day
from kikaku.days import day_bounds
from kikaku.folded import contains_folded
from kikaku.money import yen
from kikaku.text import fold, fold_number
from ledger.admin.open_money import OpenMoneyPages
from ledger.admin.order_actions import OrderActions
from ledger.admin.order_panels import STATUS_COLOURS, OrderRows, Summary, build_panels
from ledger.models import CheckoutAttempt, Order, OrderLine, Shipment
from ledger.models.orders import SHIPPABLE_STATUSES, OrderStatus
from ledger.sales.order_pages import order_pages
from ledger.templatetags.ledger_address import join_places


class TaskFilter(admin.SimpleListFilter):
    """Filter of orders by what staff has to do."""

    title = gettext_lazy("to do")
    parameter_name = "todo"
    SHIP, AWAIT_PAYMENT = "ship", "pay"
    STATUSES: ClassVar[dict[str, tuple[str, ...]]] = {
        SHIP: SHIPPABLE_STATUSES,
        AWAIT_PAYMENT: (OrderStatus.PENDING,),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the tasks."""
        return [(self.SHIP, _("to be shipped")), (self.AWAIT_PAYMENT, _("payment awaited"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the orders of the chosen task."""
        statuses = self.STATUSES.get(self.value() or "")
        return queryset.filter(status__in=statuses) if statuses else queryset


@admin.register(Order)
class OrderAdmin(FoldedSearch, OpenMoneyPages, OrderActions):
    """Orders, newest first; those to be shipped in the order of payment."""

    list_display = (
        "number",
        "state",
        "recipient",
        "contents",
        "amount",
        "counter",
        time_column(Order, "placed_at"),
    )
    list_filter = (
        TaskFilter,
        "status",
        ("placed_at", DayRangeFilter),
        ("total", AmountRangeFilter),
        "language",
    )
    list_filter_submit = True
    list_before_template = "ledger/admin/order_tasks.html"
    search_fields = ("search_text",)  # see `word_condition`
    search_help_text = gettext_lazy(
        "number, name, kana, e-mail, phone, postal code, address, product, SKU, tracking number, amount, day"
    )
    ordering = ("-placed_at", "-id")
    change_form_outer_before_template = "ledger/admin/order_summary.html"
    change_form_outer_after_template = "ledger/admin/order_panels.html"
    fields = ("email", "language", "customer_page")
    readonly_fields = ("customer_page",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the orders; in the list with their lines and attempts."""
        found = super().get_queryset(request)
        return found.prefetch_related("lines", "attempts") if self.is_list_page(request) else found

    def word_condition(self, word: str) -> Q:
        """Return the condition that a word is in an order, its lines or parcels, or is its total or day."""
        lines = OrderLine.objects.filter(contains_folded(word)).values("order")
        parcels = Shipment.objects.filter(contains_folded(word)).values("order")
        found = contains_folded(word) | Q(pk__in=lines) | Q(pk__in=parcels)
        if (number := fold_number(word)) and number != fold(word):  # +81
            found |= contains_folded(number)
        if (amount := typed_amount(word)) is not None:
            found |= Q(total=amount)
        if day := typed_day(word):
            start, end = day_bounds(day)
            found |= Q(placed_at__gte=start, placed_at__lt=end)
        return found

    def get_list_display(self, request: HttpRequest) -> tuple[Any, ...]:
        """Return the columns: for orders to be shipped what their packer needs, on few lines."""
        if request.GET.get(TaskFilter.parameter_name) == TaskFilter.SHIP:
            return ("number", "paid", "destination", "to_pack", "remark")
        return self.list_display

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Return the sorting: by payment for orders to be shipped, else newest first."""
        if request.GET.get(TaskFilter.parameter_name) == TaskFilter.SHIP:
            return ("paid_at", "id")
        return self.ordering

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Return the list, with the number of orders of each task above it."""
        counts = dict(
            Order.objects.filter(status__in=(*SHIPPABLE_STATUSES, OrderStatus.PENDING))
            .order_by()
            .values_list("status")
            .annotate(Count("pk"))
        )
        chosen = request.GET.get(TaskFilter.parameter_name, "")
        tasks = [
            {
                "title": title,
                "query": f"?{TaskFilter.parameter_name}={task}",
                "count": sum(counts.get(status, 0) for status in TaskFilter.STATUSES[task]),
                "chosen": chosen == task,
            }
            for task, title in (
                (TaskFilter.SHIP, _("to be shipped")),
                (TaskFilter.AWAIT_PAYMENT, _("payment awaited")),
            )
        ]
        tasks.append({"title": _("all orders"), "query": "?", "count": None, "chosen": not request.GET})
        context = {"tasks": tasks, "packing": chosen == TaskFilter.SHIP}
        return super().changelist_view(request, {**(extra_context or {}), **context})

    @display(
        description=gettext_lazy("status"),
        ordering="status",
        label=STATUS_COLOURS,
    )
    def state(self, order: Order) -> tuple[str, str]:
        """Return a badge of the status."""
        return order.status, order.get_status_display()

    @display(description=gettext_lazy("Deliver to"), ordering="family_name", header=True)
    def recipient(self, order: Order) -> tuple[str, str]:
        """Return the name and the city of the recipient."""
        return order.name, join_places(order.prefecture, order.city)

    @display(description=gettext_lazy("contents"))
    def contents(self, order: Order) -> str:
        """Return the first line, and the number of further lines."""
        lines = sorted(order.lines.all(), key=lambda line: line.position)
        if not lines:
            return "–"
        first = str(lines[0])
        if len(lines) == 1:
            return first
        return _("%(first)s and %(count)d more") % {"first": first, "count": len(lines) - 1}

    @display(description=gettext_lazy("paid at"), ordering="paid_at")
    def paid(self, order: Order) -> str:
        """Return the time of payment without its year: 11-30 19:38."""
        return format_local_time(order.paid_at)[5:]

    @display(description=gettext_lazy("Deliver to"), ordering="family_name_kana")
    def destination(self, order: Order) -> str:
        """Return name and city of the recipient on one line."""
        return f"{order.name} 様（{join_places(order.prefecture, order.city)}）"

    @display(description=gettext_lazy("to pack"))
    def to_pack(self, order: Order) -> str:
        """Return the pieces that are still to be shipped, in Japanese."""
        lines = sorted(order.lines.all(), key=lambda line: line.position)
        return "、".join(
            f"{line.packing_title}\u00a0×\u00a0{line.shippable}" for line in lines if line.shippable
        )

    @display(description=gettext_lazy("remark"))
    def remark(self, order: Order) -> str:
        """Return what the packer has to know besides: a rest, a note from the customer."""
        partly = order.status == OrderStatus.PARTIALLY_SHIPPED
        found = [_("the rest of the order")] if partly else []
        if order.note:
            found.append(_("note: %(note)s") % {"note": Truncator(" ".join(order.note.split())).chars(40)})
        return "、".join(found)

    @display(description=gettext_lazy("total"), ordering="total")
    def amount(self, order: Order) -> str:
        """Return the total in yen."""
        return yen(order.total)

    @display(description=gettext_lazy("at the counter until"))
    def counter(self, order: Order) -> str:
        """Return until when the voucher of a pending order can be paid."""
        waiting = [one for one in order.attempts.all() if one.status == CheckoutAttempt.Status.WAITING]
        return (
            format_local_time(waiting[0].voucher_expires_at)
            if waiting and order.status == OrderStatus.PENDING
            else "–"
        )

    @display(description=gettext_lazy("the customer's page"))
    def customer_page(self, order: Order) -> str:
        """Return a link to the customer's page of the order."""
        return link(order_pages().order(order), _("Open the page"), new_tab=True)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Return the order's page with its summary and tables."""
        order = self.get_object(request, object_id or "")
        context = {**(extra_context or {})}
        if order is not None:
            rows = OrderRows.of(order, self.lines_of(request, object_id or ""))
            context.update(
                order=order, summary=Summary.of(rows), panels=build_panels(rows, request.user.has_perm)
            )
        return super().changeform_view(request, object_id, form_url, context)
