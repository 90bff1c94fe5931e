"""Stock in the admin: changed by receipts and corrections, never by editing a number."""

import secrets
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import F, Max, Q, QuerySet
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from kikaku.admin.columns import format_local_time, link, time_column
from kikaku.admin.readonly import ReadOnlyAdmin
from ledger.admin.free_goods import FreeGoodsPages
from ledger.admin.order_panels import Panel
from ledger.models import StockItem, StockMovement
from ledger.models.orders import OrderStatus
from ledger.sales import holds, stock

CHANGE_STOCK = "ledger.change_stockitem"
LOW_STOCK = 5  # pieces that can still be sold
MAX_MOVEMENTS = 50  # shown on an item's page
MAX_HOLDERS = 100  # orders that hold pieces of it


class StockForm(forms.Form):
    """Number of pieces and a note; the nonce makes a form that is sent twice one movement."""

    nonce = forms.CharField(max_length=64, widget=forms.HiddenInput)
    quantity: forms.IntegerField
    note: forms.CharField

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, initial={"nonce": secrets.token_urlsafe(16)})


class ReceiptForm(StockForm):
    """Pieces received."""

    quantity = forms.IntegerField(
        label=gettext_lazy("pieces received"),
        min_value=1,
        max_value=1_000_000,
        widget=UnfoldAdminIntegerFieldWidget(attrs={"inputmode": "numeric"}),
    )
    note = forms.CharField(
        label=gettext_lazy("note"), max_length=200, required=False, widget=UnfoldAdminTextInputWidget
    )


class CountForm(StockForm):
    """Pieces counted on the shelf; the note, which explains the difference, is required."""

    quantity = forms.IntegerField(
        label=gettext_lazy("pieces counted on the shelf"),
        min_value=0,
        max_value=1_000_000,
        widget=UnfoldAdminIntegerFieldWidget(attrs={"inputmode": "numeric"}),
    )
    reason = forms.ChoiceField(
        label=gettext_lazy("reason of the difference"),
        choices=[("", "—"), *StockMovement.Reason.choices],
        widget=UnfoldAdminSelectWidget,
    )
    note = forms.CharField(label=gettext_lazy("note"), max_length=200, widget=UnfoldAdminTextInputWidget)
    # the quantity on hand that the page shows; the template writes it
    seen = forms.IntegerField(required=False, widget=forms.HiddenInput)


class ShelfFilter(admin.SimpleListFilter):
    """Filter of items that are to be ordered again."""

    title = gettext_lazy("shelf")
    parameter_name = "shelf"
    NONE, FEW = "none", "few"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices: none or few left to sell."""
        return [
            (self.NONE, _("nothing left to sell")),
            (self.FEW, _("%(count)d or fewer left to sell") % {"count": LOW_STOCK}),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the items of the chosen state."""
        max_available = {self.NONE: 0, self.FEW: LOW_STOCK}.get(self.value() or "")
        return (
            queryset if max_available is None else queryset.filter(on_hand__lte=F("reserved") + max_available)
        )


def _holders_panel(item: StockItem) -> Panel:
    """Return the orders that hold pieces of an item, the unpaid ones first, each with a link to its page.

    There an unpaid order can be cancelled, which releases what it holds.
    """
    lines = (
        item.order_lines.filter(reserved__gt=0)
        .select_related("order")
        .annotate(
            is_paid=~Q(order__status=OrderStatus.PENDING),
            pay_until=Coalesce(
                Max("order__attempts__voucher_expires_at"), Max("order__attempts__expires_at")
            ),
        )
        .order_by("is_paid", "-reserved", "pk")
    )
    return Panel(
        _("Held for"),
        [_("order"), _("Deliver to"), _("e-mail"), _("pieces"), _("status"), _("to be paid until")],
        [
            [
                link(reverse("admin:ledger_order_change", args=[line.order_id]), line.order.number),
                line.order.name,
                line.order.email,
                f"{line.reserved:,}",
                line.order.get_status_display(),
                "" if line.is_paid or line.pay_until is None else format_local_time(line.pay_until),
            ]
            for line in lines[:MAX_HOLDERS]
        ],
    )


@admin.register(StockItem)
class StockItemAdmin(ReadOnlyAdmin):
    """Stock items, with actions that receive and correct."""

    list_display = ("sku", "on_hand", "reserved", "available")
    list_filter = (ShelfFilter,)
    search_fields = ("sku",)
    search_help_text = gettext_lazy("SKU")
    fields = ("sku", "on_hand", "reserved", "available", "vouchers")
    readonly_fields = ("available", "vouchers")
    actions_detail = ("receive", "count")
    change_form_outer_after_template = "ledger/admin/order_panels.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the items with the pieces that can be sold, to sort by them."""
        found: QuerySet[Any] = super().get_queryset(request).annotate(free=F("on_hand") - F("reserved"))
        return found

    @display(description=gettext_lazy("available"), ordering="free")
    def available(self, item: StockItem) -> int:
        """Return the pieces that can be sold."""
        return item.available

    @display(description=gettext_lazy("held by vouchers, at most"))
    def vouchers(self, item: StockItem) -> str:
        """Return how many pieces vouchers hold, and how many they may hold."""
        held = holds.voucher_pieces([item.pk]).get(item.pk, 0)
        return f"{held:,} / {holds.max_voucher_pieces(item.on_hand):,}"

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Return the item's page with the orders that hold its pieces, and its latest movements."""
        item = self.get_object(request, object_id or "")
        movements = item.movements.all()[:MAX_MOVEMENTS] if item is not None else []
        panel = Panel(
            _("Movements"),
            [_("time"), _("kind"), _("reason"), _("quantity"), _("note"), _("source"), _("by")],
            [
                [
                    format_local_time(movement.occurred_at),
                    movement.get_kind_display(),
                    movement.get_reason_display() or "",
                    f"{movement.quantity:+,}",
                    movement.note,
                    movement.source,
                    movement.actor,
                ]
                for movement in movements
            ],
        )
        panels = [_holders_panel(item), panel] if item is not None else []
        context = {**(extra_context or {}), "panels": [one for one in panels if one.rows]}
        return super().changeform_view(request, object_id, form_url, context)

    @action(
        description=gettext_lazy("Receive"),
        url_path="receive",
        icon="add",
        variant=ActionVariant.PRIMARY,
        permissions=[CHANGE_STOCK],
    )
    def receive(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return the form of a receipt, or store it."""

        def act(item: StockItem, form: StockForm) -> None:
            stock.receive(
                item,
                form.cleaned_data["quantity"],
                source=f"admin:{form.cleaned_data['nonce']}",
                actor=request.user.get_username(),
                now=timezone.now(),
                note=form.cleaned_data["note"],
            )

        return self._run_form(request, object_id, act, _("Receive"), ReceiptForm)

    @action(
        description=gettext_lazy("Correct after counting"),
        url_path="count",
        icon="edit",
        permissions=[CHANGE_STOCK],
    )
    def count(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return the form of a count, or correct the stock by it."""

        def act(item: StockItem, form: StockForm) -> None:
            stock.adjust(
                item,
                on_hand=form.cleaned_data["quantity"],
                seen=form.cleaned_data["seen"],
                reason=form.cleaned_data["reason"],
                source=f"admin:{form.cleaned_data['nonce']}",
                actor=request.user.get_username(),
                now=timezone.now(),
                note=form.cleaned_data["note"],
            )

        return self._run_form(request, object_id, act, _("Correct after counting"), CountForm)

    def _run_form(
        self,
        request: HttpRequest,
        object_id: str,
        act: Callable[[StockItem, StockForm], None],
        title: str,
        form_class: type[StockForm],
    ) -> HttpResponse:
        """Return the form; if it is valid, call `act` and redirect. Raises `PermissionDenied`, `Http404`."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        item = self.get_object(request, object_id)
        if not isinstance(item, StockItem):
            raise Http404
        form = form_class(request.POST if request.method == "POST" else None)
        back = reverse("admin:ledger_stockitem_change", args=[item.pk])
        if form.is_bound and form.is_valid():
            try:
                act(item, form)
            except stock.StockRefused as refusal:
                item.refresh_from_db()
                form.add_error(None, str(refusal))
            else:
                messages.success(request, _("The stock movement of %(sku)s is recorded.") % {"sku": item.sku})
                return HttpResponseRedirect(back)
        return TemplateResponse(
            request,
            "ledger/admin/stock_action.html",
            {
                **self.admin_site.each_context(request),
                "title": f"{title}: {item.sku}",
                "opts": self.opts,
                "item": item,
                "form": form,
                "button": title,
                "back": back,
            },
            status=200 if not form.errors else 422,
        )


@admin.register(StockMovement)
class StockMovementAdmin(FreeGoodsPages):
    """Stock movements."""

    list_display = (
        time_column(StockMovement, "occurred_at"),
        "item",
        "kind",
        "reason",
        "change",
        "note",
        "actor",
        "source",
    )
    list_filter = ("kind", "reason", "occurred_at")
    list_select_related = ("item",)
    search_fields = ("item__sku", "source", "note")

    @display(description=gettext_lazy("quantity"), ordering="quantity")
    def change(self, movement: StockMovement) -> str:
        """Return the quantity with its sign."""
        return f"{movement.quantity:+,}"
