"""Parcels in the admin: a list, and the correction of what was typed wrongly."""

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display

from kikaku.admin.columns import format_local_time
from kikaku.admin.readonly import ReadOnlyAdmin
from kikaku.admin.search import FoldedSearch
from kikaku.folded import contains_folded
from ledger.admin.order_actions import SHIP
from ledger.admin.order_forms import ParcelForm
from ledger.admin.order_panels import kept_of, payment_totals
from ledger.models import Order, Shipment
from ledger.sales.parcels import correct_parcel


@admin.register(Shipment)
class ShipmentAdmin(FoldedSearch, ReadOnlyAdmin):
    """Parcels."""

    list_display = (
        "shipped_at_written",
        "order",
        "carrier",
        "tracking_number",
        "gift",
        "actor",
    )
    list_filter = ("carrier", "gift", "shipped_at")
    list_select_related = ("order",)
    search_fields = ("search_text",)  # see `word_condition`
    search_help_text = gettext_lazy("tracking number, order number")
    fields = (
        "order",
        "carrier",
        "tracking_number",
        "gift",
        "shipped_at_written",
        "arrives_on",
        "actor",
        "content",
    )
    readonly_fields = ("content", "shipped_at_written")
    actions_detail = ("correct",)

    def word_condition(self, word: str) -> Q:
        """Return the condition that a word is in a parcel's tracking number or its order's number."""
        return contains_folded(word) | Q(order__in=Order.objects.filter(number__icontains=word))

    @display(description=gettext_lazy("shipped at"), ordering="shipped_at")
    def shipped_at_written(self, shipment: Shipment) -> str:
        """Return when the parcel left, or its day when it was entered on a later one."""
        return format_local_time(shipment.shipped_at)

    @display(description=gettext_lazy("content"))
    def content(self, shipment: Shipment) -> str:
        """Return the titles and quantities of the parcel's lines, and why those of ¥0 are in it."""
        return "\n".join(
            f"{line.order_line.packing_title} × {line.quantity}"
            + (f"（{line.get_gift_display()}）" if line.gift else "")
            for line in shipment.lines.select_related("order_line")
        )

    @action(
        description=gettext_lazy("Correct the tracking number"),
        url_path="correct",
        icon="edit",
        permissions=[SHIP],
    )
    def correct(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return the form with carrier and number, or store them and queue the mail. Raises `Http404`."""
        shipment = self.get_object(request, object_id)
        if not isinstance(shipment, Shipment):
            raise Http404
        if not request.user.has_perm(SHIP):
            raise PermissionDenied
        back = reverse("admin:ledger_order_change", args=[shipment.order_id])
        form = ParcelForm(shipment, request.POST if request.method == "POST" else None)
        if form.is_bound and form.is_valid():
            corrected = correct_parcel(
                shipment,
                carrier=form.carrier_name(),
                tracking_number=form.cleaned_data["tracking_number"],
                actor=request.user.get_username(),
                now=timezone.now(),
            )
            if corrected:
                messages.success(request, _("The parcel is corrected; the customer gets a mail."))
            else:
                messages.info(request, _("Nothing is different from what was stored."))
            return HttpResponseRedirect(back)
        return TemplateResponse(
            request,
            "ledger/admin/order_action.html",
            {
                **self.admin_site.each_context(request),
                "title": f"{_('Correct the tracking number')}: {shipment}",
                "opts": self.opts,
                "order": shipment.order,
                "money": payment_totals(
                    shipment.order.payments.all(), shipment.order.refunds.all(), kept_of(shipment.order)
                ),
                "form": form,
                "button": _("Correct it and write to the customer"),
                "parcel": True,
                "back": back,
            },
            status=422 if form.errors else 200,
        )
