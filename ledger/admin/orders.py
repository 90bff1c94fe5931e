"""Orders in the admin: a list of what is to be done, a page that tells everything, and three actions."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from ledger import cancellation, checkout, refunds, shipping
from ledger.admin.order_forms import CancelForm, RefundForm, ShipForm
from ledger.admin.order_panels import moment, panels
from ledger.admin.readonly import ReadOnlyAdmin
from ledger.models import CheckoutAttempt, Order, Payment, Refund, Shipment
from ledger.models.orders import OrderStatus
from ledger.templatetags.ledger_money import yen

CHANGE_ORDER = "ledger.change_order"

# in which states an action's button is shown; the domain function has the last word
POSSIBLE: dict[str, tuple[str, ...]] = {
    "ship": (OrderStatus.PAID, OrderStatus.PARTIALLY_SHIPPED),
    "refund": (OrderStatus.PAID, OrderStatus.PARTIALLY_SHIPPED, OrderStatus.SHIPPED),
    "cancel": (OrderStatus.PENDING, OrderStatus.PAID),
}


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    """Orders: read-only, with ship, refund and cancel as buttons."""

    list_display = ("number", "state", "customer", "amount", "placed_at", "paid_at")
    list_filter = ("status", "placed_at", "language")
    search_fields = ("number", "email", "family_name", "given_name", "family_name_kana", "given_name_kana")
    search_help_text = gettext_lazy("number, e-mail or name")
    ordering = ("-placed_at", "-id")
    actions_detail = ("ship", "refund", "cancel")
    change_form_outer_after_template = "ledger/admin/order_panels.html"
    fieldsets = (
        (None, {"fields": ("number", "status", "amounts", "customer_page")}),
        (gettext_lazy("Customer"), {"fields": ("customer", "address", "email", "phone", "note", "language")}),
    )
    readonly_fields = ("customer", "address", "amounts", "customer_page")

    @display(
        description=gettext_lazy("status"),
        ordering="status",
        label={
            OrderStatus.PENDING.value: "warning",
            OrderStatus.PAID.value: "info",
            OrderStatus.PARTIALLY_SHIPPED.value: "info",
            OrderStatus.SHIPPED.value: "success",
            OrderStatus.CANCELLED.value: "danger",
        },
    )
    def state(self, order: Order) -> tuple[str, str]:
        """Show the state as a coloured word."""
        return order.status, order.get_status_display()

    @display(description=gettext_lazy("full name"), ordering="family_name")
    def customer(self, order: Order) -> str:
        """Show the full name."""
        return order.name

    @display(description=gettext_lazy("delivery address"))
    def address(self, order: Order) -> str:
        """Show the address as it is written on the parcel, with how the name is read."""
        kana = f"{order.family_name_kana} {order.given_name_kana}".strip()
        street = f"{order.prefecture}{order.city}{order.street} {order.building}".strip()
        return f"〒{order.postal_code} {street}" + (f"（{kana}）" if kana else "")

    @display(description=gettext_lazy("amounts"))
    def amounts(self, order: Order) -> str:
        """Show what the order comes to, and the tax in it."""
        return _(
            "goods %(goods)s − discount %(discount)s + shipping %(shipping)s = %(total)s (tax 10%% %(ten)s, 8%% %(eight)s)"
        ) % {
            "goods": yen(order.goods_total),
            "discount": yen(order.discount),
            "shipping": yen(order.shipping_fee),
            "total": yen(order.total),
            "ten": yen(order.tax_10),
            "eight": yen(order.tax_8),
        }

    @display(description=gettext_lazy("total"), ordering="total")
    def amount(self, order: Order) -> str:
        """Show the total in yen."""
        return yen(order.total)

    @display(description=gettext_lazy("the customer's page"))
    def customer_page(self, order: Order) -> str:
        """Link to what the customer sees."""
        return format_html(
            '<a class="text-primary-600 dark:text-primary-500" href="{}" target="_blank" rel="noopener">{}</a>',
            reverse("order", args=[order.token]),
            _("Open the page"),
        )

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show the order with everything that belongs to it."""
        order = self.get_object(request, object_id or "")
        context = {**(extra_context or {}), "panels": panels(order) if order is not None else []}
        return super().changeform_view(request, object_id, form_url, context)

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """Offer what the order's state allows."""
        status = Order.objects.filter(pk=object_id).values_list("status", flat=True).first()
        offered = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return [one for one in offered if status in POSSIBLE[one.action_name.removeprefix("ledger_order_")]]

    # ── Actions ──────────────────────────────────────────────────────────────────────────────────────────

    @action(
        description=gettext_lazy("Ship"),
        url_path="ship",
        icon="local_shipping",
        variant=ActionVariant.PRIMARY,
        permissions=[CHANGE_ORDER],
    )
    def ship(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for pieces, carrier and number; ship."""
        order = self._order(request, object_id)
        if order.shipments.filter(nonce=request.POST.get("nonce", "-")).exists():
            return self._done_already(request, order)
        form = ShipForm(order, request.POST if request.method == "POST" else None)

        def act(form: ShipForm) -> str:
            shipment = shipping.ship(
                order=order,
                quantities=form.quantities(),
                carrier=form.carrier_name(),
                tracking_number=form.cleaned_data["tracking_number"],
                nonce=form.cleaned_data["nonce"],
                actor=request.user.get_username(),
                now=timezone.now(),
            )
            return _("The parcel of %(time)s is written down; the customer gets a mail.") % {
                "time": moment(shipment.shipped_at)
            }

        return self._page(request, order, form, act, _("Ship"), _("Ship these pieces"), shipping.ShipRefused)

    @action(
        description=gettext_lazy("Refund"),
        url_path="refund",
        icon="currency_yen",
        permissions=[CHANGE_ORDER],
    )
    def refund(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for pieces or an amount, show what the customer gets, then send it."""
        order = self._order(request, object_id)
        if order.refunds.filter(nonce=request.POST.get("nonce", "-")).exists():
            return self._done_already(request, order)
        form = RefundForm(order, request.POST if request.method == "POST" else None)
        preview: int | None = None
        if form.is_bound and form.is_valid():
            try:
                preview = refunds.preview(order=order, request=form.request())
            except refunds.RefundRefused as refusal:
                form.add_error(None, str(refusal))
        shown = preview is not None and form.cleaned_data.get("confirmed") == preview

        def act(form: RefundForm) -> str | None:
            if not shown:
                return None
            refund = refunds.request_refund(
                order=order,
                request=form.request(),
                nonce=form.cleaned_data["nonce"],
                actor=request.user.get_username(),
                now=timezone.now(),
            )
            if refund.status == Refund.Status.FAILED:
                messages.error(
                    request,
                    _("Stripe refused the refund: %(reason)s. The money is still owed to the customer.")
                    % {"reason": refund.failure_reason},
                )
                return ""
            if refund.status == Refund.Status.REQUESTED:
                return _("Stripe does not answer. The refund of %(amount)s is sent as soon as it does.") % {
                    "amount": yen(refund.amount)
                }
            return _("%(amount)s are on their way back to the customer.") % {"amount": yen(refund.amount)}

        button = (
            _("Show what the customer gets")
            if preview is None
            else _("Send %(amount)s back") % {"amount": yen(preview)}
        )
        return self._page(
            request, order, form, act, _("Refund"), button, refunds.RefundRefused, preview=preview
        )

    @action(
        description=gettext_lazy("Cancel the order"),
        url_path="cancel",
        icon="cancel",
        variant=ActionVariant.DANGER,
        permissions=[CHANGE_ORDER],
    )
    def cancel(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask once more, then cancel."""
        order = self._order(request, object_id)
        form = CancelForm(order, request.POST if request.method == "POST" else None)

        def act(form: CancelForm) -> str:
            cancellation.cancel(
                order=order,
                reason=form.cleaned_data["reason"],
                actor=request.user.get_username(),
                now=timezone.now(),
            )
            return _("Order %(number)s is cancelled.") % {"number": order.number}

        return self._page(
            request,
            order,
            form,
            act,
            _("Cancel the order"),
            _("Cancel the order now"),
            (cancellation.CancelRefused, checkout.PaymentUnavailable, refunds.RefundRefused),
        )

    def _order(self, request: HttpRequest, object_id: str) -> Order:
        """Load the order of an action's address. Raises `PermissionDenied`, `Http404`."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        order = self.get_object(request, object_id)
        if not isinstance(order, Order):
            raise Http404
        return order

    def _done_already(self, request: HttpRequest, order: Order) -> HttpResponse:
        """Answer a form that was sent twice: its pieces or money may be gone, because it worked."""
        messages.info(request, _("This form was carried out already; nothing was done twice."))
        return HttpResponseRedirect(reverse("admin:ledger_order_change", args=[order.pk]))

    def _page(
        self,
        request: HttpRequest,
        order: Order,
        form: Any,
        act: Callable[[Any], str | None],
        title: str,
        button: str,
        refusals: type[Exception] | tuple[type[Exception], ...],
        **context: Any,
    ) -> HttpResponse:
        """Run an action's form: act on a valid one and go back to the order, else show it with what is wrong.

        `act` returns what to tell; an empty text when it told it itself, None when the form is to be shown again.
        """
        if form.is_bound and form.is_valid():
            try:
                told = act(form)
            except checkout.PaymentUnavailable:
                form.add_error(
                    None, _("Stripe does not answer, so nothing was changed. Please try again later.")
                )
            except refusals as refusal:
                form.add_error(None, str(refusal))
            else:
                if told is not None:
                    if told:
                        messages.success(request, told)
                    return HttpResponseRedirect(reverse("admin:ledger_order_change", args=[order.pk]))
        return TemplateResponse(
            request,
            "ledger/admin/order_action.html",
            {
                **self.admin_site.each_context(request),
                "title": f"{title}: {order.number}",
                "opts": self.opts,
                "order": order,
                "money": _money(order),
                "form": form,
                "button": button,
                "danger": isinstance(form, CancelForm),
                "back": reverse("admin:ledger_order_change", args=[order.pk]),
                **context,
            },
            status=200 if not form.errors else 422,
        )


def _money(order: Order) -> list[tuple[str, str]]:
    """Tell what was paid, what went back, and what is left."""
    paid = list(order.payments.all())
    left = sum(refunds.refundable(payment) for payment in paid)
    captured = sum(payment.amount for payment in paid)
    return [
        (_("paid"), yen(captured)),
        (_("refunded"), yen(captured - left)),
        (_("can still be refunded"), yen(left)),
    ]


# ── What belongs to orders, to look things up ────────────────────────────────────────────────────────────


@admin.register(CheckoutAttempt)
class CheckoutAttemptAdmin(ReadOnlyAdmin):
    """Payment pages at Stripe."""

    list_display = ("__str__", "order", "status", "created_at", "expires_at", "last_error")
    list_filter = ("status",)
    list_select_related = ("order",)
    search_fields = ("session_id", "order__number")
    exclude = ("idempotency_key", "url")


@admin.register(Payment)
class PaymentAdmin(ReadOnlyAdmin):
    """Captured money."""

    list_display = ("payment_intent", "order", "amount", "brand", "last4", "captured_at")
    list_filter = ("brand", "captured_at")
    list_select_related = ("order",)
    search_fields = ("payment_intent", "charge", "order__number")


@admin.register(Refund)
class RefundAdmin(ReadOnlyAdmin):
    """Money on its way back, with what it takes from."""

    list_display = ("__str__", "order", "amount", "status", "reason", "requested_at", "actor")
    list_filter = ("status", "requested_at")
    list_select_related = ("order",)
    search_fields = ("stripe_id", "order__number")
    fields = (
        ("order", "payment"),
        ("amount", "status"),
        "stripe_id",
        ("reason", "failure_reason"),
        ("requested_at", "actor"),
        "restock",
        "parts",
    )
    readonly_fields = ("parts",)

    @display(description=gettext_lazy("taken from"))
    def parts(self, refund: Refund) -> str:
        """Say what each part takes from."""
        lines = refund.lines.select_related("order_line")
        return "\n".join(
            " ".join(
                filter(
                    None,
                    [
                        line.order_line.title if line.order_line else "",
                        f"{line.tax_rate}%" if line.tax_rate else "",
                        _("before shipment %(amount)s") % {"amount": yen(line.prepaid)}
                        if line.prepaid
                        else "",
                        _("after shipment %(amount)s") % {"amount": yen(line.recognised)}
                        if line.recognised
                        else "",
                        _("owed %(amount)s") % {"amount": yen(line.payable)} if line.payable else "",
                    ],
                )
            )
            for line in lines
        )


@admin.register(Shipment)
class ShipmentAdmin(ReadOnlyAdmin):
    """Parcels."""

    list_display = ("__str__", "order", "carrier", "tracking_number", "shipped_at", "actor")
    list_filter = ("carrier", "shipped_at")
    list_select_related = ("order",)
    search_fields = ("tracking_number", "order__number")
    fields = (("order", "carrier"), ("tracking_number", "shipped_at"), "actor", "content")
    readonly_fields = ("content",)

    @display(description=gettext_lazy("content"))
    def content(self, shipment: Shipment) -> str:
        """Say what is in the parcel."""
        lines = shipment.lines.select_related("order_line")
        return "\n".join(f"{line.order_line.title} × {line.quantity}" for line in lines)
