"""Orders in the admin: a list of what is to be done, a page that tells everything, and three actions."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from kikaku.admin.columns import LINK_CLASSES, moment, time_column
from kikaku.admin.readonly import ReadOnlyAdmin
from kikaku.money import yen
from ledger.admin import packing
from ledger.admin.order_forms import CancelForm, RefundForm, ShipForm
from ledger.admin.order_panels import BADGES, Summary, money_left, panels, voucher_note
from ledger.models import CheckoutAttempt, Order, Refund, Shipment
from ledger.models.orders import SHIPPABLE_STATUSES, OrderStatus
from ledger.sales import cancellation, checkout, refunds, shipping
from ledger.sales.order_pages import order_pages
from ledger.stripe.methods import method_named

CHANGE_ORDER = "ledger.change_order"

# in which states an action's button is shown; the domain function has the last word
POSSIBLE: dict[str, tuple[str, ...]] = {
    "slip": SHIPPABLE_STATUSES,
    "ship": SHIPPABLE_STATUSES,
    "refund": (OrderStatus.PAID, OrderStatus.PARTIALLY_SHIPPED, OrderStatus.SHIPPED),
    "cancel": (OrderStatus.PENDING, OrderStatus.PAID),
}


class TaskFilter(admin.SimpleListFilter):
    """What a clerk looks for in the morning."""

    title = gettext_lazy("to do")
    parameter_name = "todo"
    SHIP, AWAIT = "ship", "pay"
    STATES: ClassVar[dict[str, tuple[str, ...]]] = {SHIP: SHIPPABLE_STATUSES, AWAIT: (OrderStatus.PENDING,)}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Name the tasks."""
        return [(self.SHIP, _("to be shipped")), (self.AWAIT, _("payment awaited"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the orders of the task."""
        states = self.STATES.get(self.value() or "")
        return queryset.filter(status__in=states) if states else queryset


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    """Orders: read-only, with ship, refund and cancel as buttons; what to ship is listed oldest first."""

    list_display = (
        "number",
        "state",
        "recipient",
        "contents",
        "amount",
        "counter",
        time_column(Order, "placed_at"),
    )
    list_filter = (TaskFilter, "status", "placed_at", "language")
    list_before_template = "ledger/admin/order_tasks.html"
    search_fields = (
        "number",
        "email",
        "phone",
        "family_name",
        "given_name",
        "family_name_kana",
        "given_name_kana",
        "lines__sku",
        "shipments__tracking_number",
    )
    search_help_text = gettext_lazy("number, name, e-mail, phone, SKU or tracking number")
    ordering = ("-placed_at", "-id")
    actions = ("print_slips",)
    actions_detail = ("ship", "slip", "refund", "cancel")
    change_form_outer_before_template = "ledger/admin/order_summary.html"
    change_form_outer_after_template = "ledger/admin/order_panels.html"
    fields = ("email", "language", "customer_page")
    readonly_fields = ("customer_page",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Bring the lines of the list's orders along."""
        found = super().get_queryset(request)
        match = request.resolver_match
        in_list = match is not None and match.url_name == "ledger_order_changelist"
        return found.prefetch_related("lines", "attempts") if in_list else found

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Load an order once for a request, which asks for it in several places."""
        loaded = request.__dict__.setdefault("_orders", {})
        if object_id not in loaded:
            loaded[object_id] = super().get_object(request, object_id, from_field)
        return loaded[object_id]

    def get_list_display(self, request: HttpRequest) -> tuple[Any, ...]:
        """Show when an order was paid where it is to be shipped, else when it was placed."""
        if request.GET.get(TaskFilter.parameter_name) == TaskFilter.SHIP:
            return (*self.list_display[:-1], time_column(Order, "paid_at"))
        return self.list_display

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """List what is to be shipped in the order in which it was paid, else the newest first."""
        if request.GET.get(TaskFilter.parameter_name) == TaskFilter.SHIP:
            return ("paid_at", "id")
        return self.ordering

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Show above the list how much there is to do."""
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
                "count": sum(counts.get(state, 0) for state in TaskFilter.STATES[task]),
                "chosen": chosen == task,
            }
            for task, title in (
                (TaskFilter.SHIP, _("to be shipped")),
                (TaskFilter.AWAIT, _("payment awaited")),
            )
        ]
        tasks.append({"title": _("all orders"), "query": "?", "count": None, "chosen": not request.GET})
        return super().changelist_view(request, {**(extra_context or {}), "tasks": tasks})

    @display(
        description=gettext_lazy("status"),
        ordering="status",
        label=BADGES,
    )
    def state(self, order: Order) -> tuple[str, str]:
        """Show the state as a coloured word."""
        return order.status, order.get_status_display()

    @display(description=gettext_lazy("Deliver to"), ordering="family_name", header=True)
    def recipient(self, order: Order) -> tuple[str, str]:
        """Show to whom and where the parcel goes."""
        return order.name, f"{order.prefecture}{order.city}"

    @display(description=gettext_lazy("contents"))
    def contents(self, order: Order) -> str:
        """Show what was ordered: the first line, and how many more there are."""
        lines = sorted(order.lines.all(), key=lambda line: line.position)
        if not lines:
            return "–"
        first = str(lines[0])
        return (
            first
            if len(lines) == 1
            else _("%(first)s and %(count)d more")
            % {
                "first": first,
                "count": len(lines) - 1,
            }
        )

    @display(description=gettext_lazy("total"), ordering="total")
    def amount(self, order: Order) -> str:
        """Show the total in yen."""
        return yen(order.total)

    @display(description=gettext_lazy("at the counter until"))
    def counter(self, order: Order) -> str:
        """Show until when a voucher of a pending order can be paid."""
        waiting = [one for one in order.attempts.all() if one.status == CheckoutAttempt.Status.WAITING]
        return (
            moment(waiting[0].voucher_expires_at) if waiting and order.status == OrderStatus.PENDING else "–"
        )

    @display(description=gettext_lazy("the customer's page"))
    def customer_page(self, order: Order) -> str:
        """Link to what the customer sees."""
        return format_html(
            '<a class="{}" href="{}" target="_blank" rel="noopener">{}</a>',
            LINK_CLASSES,
            order_pages().order(order),
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
        context = {
            **(extra_context or {}),
        }
        if order is not None:
            summary = Summary.of(order)
            context.update(order=order, summary=summary, panels=panels(order, summary.lines))
        return super().changeform_view(request, object_id, form_url, context)

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """Offer what the order's state allows."""
        order = self.get_object(request, str(object_id))  # the address may name anything
        status = order.status if isinstance(order, Order) else None
        offered = super().get_actions_detail(request, object_id)
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
        done = order.shipments.filter(nonce=request.POST.get("nonce", "-"))
        if done.exists():
            return self._done_already(request, order)
        if order.status not in SHIPPABLE_STATUSES:
            return self._nothing_to_ship(request, order)
        form = ShipForm(
            order,
            request.POST if request.method == "POST" else None,
            carrier=_last_carrier(request.user.get_username()),
        )

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
            told = _("The parcel of %(time)s is written down; the customer gets a mail.") % {
                "time": moment(shipment.shipped_at)
            }
            return format_html("{} {}", told, self._next_to_ship(order))

        return self._page(
            request, order, form, act, _("Ship"), _("Ship these pieces"), shipping.ShipRefused, done=done
        )

    @action(
        description=gettext_lazy("Refund"),
        url_path="refund",
        icon="currency_yen",
        permissions=[CHANGE_ORDER],
    )
    def refund(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for pieces or an amount, show what the customer gets, then send it."""
        order = self._order(request, object_id)
        done = order.refunds.filter(nonce=request.POST.get("nonce", "-"))
        if done.exists():
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
            if refund.status == Refund.Status.REQUIRES_ACTION:
                told = _("Stripe asks %(email)s for a bank account, to which the %(amount)s then go.")
                return told % {"amount": yen(refund.amount), "email": order.email}
            return _("%(amount)s are on their way back to the customer.") % {"amount": yen(refund.amount)}

        button = (
            _("Show what the customer gets")
            if preview is None
            else _("Send %(amount)s back") % {"amount": yen(preview)}
        )
        return self._page(
            request, order, form, act, _("Refund"), button, refunds.RefundRefused, done=done, preview=preview
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
            counter=voucher_note(order),
        )

    @action(
        description=gettext_lazy("Packing slip"),
        url_path="slip",
        icon="print",
        permissions=["ledger.view_order"],
    )
    def slip(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the slip of one order, to be printed."""
        order = self._order(request, object_id)
        slips, _left_out = packing.slips(Order.objects.filter(pk=order.pk))
        if not slips:
            return self._nothing_to_ship(request, order)
        return self._slips(request, slips, 0)

    @admin.action(description=gettext_lazy("Print packing slips"), permissions=["view"])
    def print_slips(self, request: HttpRequest, queryset: QuerySet[Order]) -> HttpResponse | None:
        """Show the slips of the chosen orders, one on each sheet."""
        slips, left_out = packing.slips(queryset)
        if not slips:
            messages.warning(
                request, _("None of these orders is to be shipped: not paid, or shipped already.")
            )
            return None
        return self._slips(request, slips, left_out)

    def _slips(self, request: HttpRequest, slips: Any, left_out: int) -> HttpResponse:
        return TemplateResponse(
            request, "ledger/admin/packing_slips.html", {"slips": slips, "left_out": left_out}
        )

    def _nothing_to_ship(self, request: HttpRequest, order: Order) -> HttpResponse:
        """Lead back to an order that is not to be shipped: not paid, or a colleague was quicker."""
        messages.warning(request, _("Nothing of this order is to be shipped."))
        return HttpResponseRedirect(reverse("admin:ledger_order_change", args=[order.pk]))

    def _next_to_ship(self, order: Order) -> str:
        """Link to the order that was paid first among those that wait, this one left aside."""
        waiting = Order.objects.to_ship().exclude(pk=order.pk)
        count = waiting.count()
        following = waiting.order_by("paid_at", "id").first()
        if following is None:
            return _("No other order waits to be shipped.")
        return format_html(
            '<a class="font-semibold underline" href="{}">{}</a>',
            reverse("admin:ledger_order_ship", args=[following.pk]),
            _("Ship the next one: %(number)s %(name)s (%(count)d waiting)")
            % {"number": following.number, "name": following.name, "count": count},
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
        *,
        done: QuerySet[Any] | None = None,
        **context: Any,
    ) -> HttpResponse:
        """Run an action's form: act on a valid one and go back to the order, else show it with what is wrong.

        `act` returns what to tell; an empty text when it told it itself, None when the form is to be shown again.
        `done` finds what this very form has written: of two clicks at the same moment, the second may find the form
        wrong only because the first was carried out.
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
        if form.errors and done is not None and done.exists():
            return self._done_already(request, order)
        return TemplateResponse(
            request,
            "ledger/admin/order_action.html",
            {
                **self.admin_site.each_context(request),
                "title": f"{title}: {order.number}",
                "opts": self.opts,
                "order": order,
                "money": money_left(order),
                "form": form,
                "button": button,
                "danger": isinstance(form, CancelForm),
                "parcel": isinstance(form, ShipForm),
                "to_bank_account": any(
                    method_named(payment.method).refunds_to_bank_account for payment in order.payments.all()
                ),
                "back": reverse("admin:ledger_order_change", args=[order.pk]),
                **context,
            },
            status=200 if not form.errors else 422,
        )


def _last_carrier(actor: str) -> str:
    """Give the carrier of this person's latest parcel: most days have one carrier."""
    latest = Shipment.objects.filter(actor=actor).order_by("-pk").values_list("carrier", flat=True).first()
    return latest or ""


@admin.register(Shipment)
class ShipmentAdmin(ReadOnlyAdmin):
    """Parcels."""

    list_display = (time_column(Shipment, "shipped_at"), "order", "carrier", "tracking_number", "actor")
    list_filter = ("carrier", "shipped_at")
    list_select_related = ("order",)
    search_fields = ("tracking_number", "order__number")
    fields = ("order", "carrier", "tracking_number", "shipped_at", "actor", "content")
    readonly_fields = ("content",)

    @display(description=gettext_lazy("content"))
    def content(self, shipment: Shipment) -> str:
        """Say what is in the parcel."""
        lines = shipment.lines.select_related("order_line")
        return "\n".join(f"{line.order_line.title} × {line.quantity}" for line in lines)
