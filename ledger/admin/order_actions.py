"""Actions of an order in the admin: ship, refund, keep money, cancel, and print packing slips."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action
from unfold.enums import ActionVariant

from kikaku.admin.columns import format_local_time
from kikaku.admin.reauthentication import posted
from kikaku.days import business_day
from kikaku.money import yen
from ledger.admin.ceiling import ceiling_for, check_ceiling, money_of_cancellation
from ledger.admin.order_form_pages import OrderFormPages, nonce_of
from ledger.admin.order_forms import CancelForm, KeepForm, RefundForm, ShipForm
from ledger.admin.order_panels import voucher_note
from ledger.admin.packing import packing_slips
from ledger.books.order_buckets import tax_buckets
from ledger.models import Order, OrderLine, Refund, Shipment, TaxStatus
from ledger.models.orders import SHIPPABLE_STATUSES, OrderStatus
from ledger.sales import cancellation, checkout, kept_money, refund_requests, refunds, shipping
from ledger.sales.order_end import has_money_for_goods
from ledger.sales.refund_failure import unsettled_money
from ledger.sales.refund_plan import refundable_by_side
from ledger.sales.seen import OrderChanged

SHIP, CANCEL = "ledger.ship_order", "ledger.cancel_order"
REFUND = "ledger.refund_order"

# of orders whose page offers an action; the domain function decides whether it is possible
ACTION_STATUSES: dict[str, tuple[str, ...]] = {
    "slip": SHIPPABLE_STATUSES,
    "ship": SHIPPABLE_STATUSES,
    "refund": (
        OrderStatus.PAID,
        OrderStatus.PARTIALLY_SHIPPED,
        OrderStatus.SHIPPED,
        OrderStatus.CANCELLED,
    ),
    "keep": (
        OrderStatus.PAID,
        OrderStatus.PARTIALLY_SHIPPED,
        OrderStatus.SHIPPED,
        OrderStatus.CANCELLED,
    ),
    "cancel": (OrderStatus.PENDING, OrderStatus.PAID, OrderStatus.PARTIALLY_SHIPPED),
}


class OrderActions(OrderFormPages):
    """The buttons of an order's page: each opens a form, whose post calls one domain function."""

    actions = ("print_slips",)
    actions_detail = ("ship", "slip", "refund", "keep", "cancel")

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """Return the actions that the order's status allows."""
        # the id comes from the URL: there may be no such order
        order = self.get_object(request, str(object_id))
        if not isinstance(order, Order):
            return []
        names = {name for name, statuses in ACTION_STATUSES.items() if order.status in statuses}
        if order.status == OrderStatus.CANCELLED and not unsettled_money(order):
            names.discard("refund")
        may_keep = _may_have_keepable_money(self.lines_of(request, str(object_id)), order)
        if not may_keep or not kept_money.keepable_money(order):
            names.discard("keep")
        offered = super().get_actions_detail(request, object_id)
        return [one for one in offered if one.action_name.removeprefix("ledger_order_") in names]

    @action(
        description=gettext_lazy("Ship"),
        url_path="ship",
        icon="local_shipping",
        variant=ActionVariant.PRIMARY,
        permissions=[SHIP],
    )
    def ship(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return the form that asks for pieces and carrier, or ship them."""
        order = self._order(request, object_id)
        done = order.shipments.filter(nonce=nonce_of(request))
        if done.exists():
            return self._redirect_repeated(request, order)
        if order.status not in SHIPPABLE_STATUSES:
            return self._redirect_nothing_to_ship(request, order)
        form = ShipForm(
            order,
            request.POST if request.method == "POST" else None,
            today=business_day(timezone.now()),
            carrier=_last_carrier(request.user.get_username()),
            free=shipping.free_lines(order.lines.unshipped(), tax_buckets(order)),
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
                shipped_on=form.cleaned_data["shipped_on"],
                gift=form.cleaned_data.get("gift", ""),
                gifts=form.gifts(),
                seen=request.POST.get("seen", ""),
            )
            message = _("The parcel of %(time)s is recorded; the customer gets a mail.") % {
                "time": format_local_time(shipment.shipped_at)
            }
            return format_html("{} {}", message, self._link_to_next(order))

        return self._run_form(
            request,
            order,
            form,
            act,
            _("Ship"),
            _("Ship these pieces"),
            (shipping.ShipRefused, OrderChanged),
            done=done,
        )

    @action(
        description=gettext_lazy("Refund"),
        url_path="refund",
        icon="currency_yen",
        permissions=[REFUND],
    )
    def refund(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return the form that asks for pieces or an amount; then its preview; then send the refund."""
        order = self._order(request, object_id)

        def preview(form: RefundForm) -> refund_requests.RefundPreview | None:
            try:
                plan = refund_requests.preview(order=order, request=form.request())
            except refunds.SideMissing as refusal:
                form.add_error("side" if "side" in form.fields else None, str(refusal))
                return None
            check_ceiling(request, order, plan.amount)
            return plan

        def act(form: RefundForm, plan: str) -> str:
            refund = refunds.request_refund(
                order=order,
                request=form.request(),
                nonce=form.cleaned_data["nonce"],
                actor=request.user.get_username(),
                now=timezone.now(),
                confirmed=plan,
                ceiling=ceiling_for(request),
            )
            _tell_outcome(request, refund)
            return ""

        return self._run_previewed_form(
            request,
            order,
            lambda data: RefundForm(
                order, data, again=unsettled_money(order), sides=refundable_by_side(order)
            ),
            preview,
            act,
            _("Refund"),
            (_("Show what the customer gets"), _("Send %(amount)s back")),
            refunds.RefundRefused,
            done=order.refunds.filter(nonce=nonce_of(request)),
        )

    @action(
        description=gettext_lazy("Keep as a fee or other income"),
        url_path="keep",
        icon="savings",
        permissions=[REFUND],
    )
    def keep(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return the form that asks for amount and reason; then its preview; then move the money."""
        order = self._order(request, object_id)

        def preview(form: KeepForm) -> kept_money.KeepPreview:
            return kept_money.preview(order=order, amount=form.cleaned_data["amount"])

        def act(form: KeepForm, plan: str) -> str:
            kept = kept_money.keep(
                order=order,
                amount=form.cleaned_data["amount"],
                reason=form.cleaned_data["reason"],
                nonce=form.cleaned_data["nonce"],
                actor=request.user.get_username(),
                now=timezone.now(),
                confirmed=plan,
            )
            return _("%(amount)s are moved to other income.") % {"amount": yen(kept.amount)}

        return self._run_previewed_form(
            request,
            order,
            lambda data: KeepForm(order, data, keepable=kept_money.keepable_money(order)),
            preview,
            act,
            _("Keep as a fee or other income"),
            (_("Show what is posted"), _("Move %(amount)s to other income")),
            kept_money.KeepRefused,
            done=order.kept_money.filter(nonce=nonce_of(request)),
        )

    @action(
        description=gettext_lazy("Cancel the order"),
        url_path="cancel",
        icon="cancel",
        variant=ActionVariant.DANGER,
        permissions=[CANCEL],
    )
    def cancel(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return the form that asks for the reason, or cancel the order."""
        order = self._order(request, object_id)
        is_rest = order.status == OrderStatus.PARTIALLY_SHIPPED
        form = CancelForm(
            order,
            posted(request),
            rest_has_money=is_rest and has_money_for_goods(order),
        )

        def act(form: CancelForm) -> str:
            fee = form.cleaned_data.get("fee") or 0
            check_ceiling(request, order, money_of_cancellation(order, fee))
            before = set(order.refunds.values_list("pk", flat=True))
            cancellation.cancel(
                order=order,
                reason=form.cleaned_data["reason"],
                actor=request.user.get_username(),
                now=timezone.now(),
                seen=request.POST.get("seen", ""),
                fee=fee,
                ceiling=ceiling_for(request),
            )
            for refund in order.refunds.exclude(pk__in=before).order_by("pk"):
                _tell_outcome(request, refund)
            if order.status == OrderStatus.SHIPPED:
                return _("What was left of order %(number)s is cancelled.") % {"number": order.number}
            return _("Order %(number)s is cancelled.") % {"number": order.number}

        return self._run_form(
            request,
            order,
            form,
            act,
            _("Cancel the order"),
            _("Cancel the order now"),
            (
                cancellation.CancelRefused,
                kept_money.KeepRefused,
                checkout.PaymentUnavailable,
                refunds.RefundRefused,
                OrderChanged,
            ),
            counter=voucher_note(order, order.attempts.all()),
        )

    @action(
        description=gettext_lazy("Packing slip"),
        url_path="slip",
        icon="print",
        permissions=["ledger.view_order"],
    )
    def slip(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return the packing slip of the order."""
        order = self._order(request, object_id)
        slips, _left_out = packing_slips(Order.objects.filter(pk=order.pk))
        if not slips:
            return self._redirect_nothing_to_ship(request, order)
        return self._print(request, slips, 0)

    @admin.action(description=gettext_lazy("Print packing slips"), permissions=["view"])
    def print_slips(self, request: HttpRequest, queryset: QuerySet[Order]) -> HttpResponse | None:
        """Return the packing slips of the chosen orders."""
        slips, left_out = packing_slips(queryset)
        if not slips:
            messages.warning(
                request, _("None of these orders is to be shipped: not paid, or shipped already.")
            )
            return None
        return self._print(request, slips, left_out)

    def _print(self, request: HttpRequest, slips: Any, left_out: int) -> HttpResponse:
        return TemplateResponse(
            request, "ledger/admin/packing_slips.html", {"slips": slips, "left_out": left_out}
        )

    def _redirect_nothing_to_ship(self, request: HttpRequest, order: Order) -> HttpResponse:
        """Redirect to an order of which no piece is to be shipped: not paid, or shipped already."""
        messages.warning(request, _("Nothing of this order is to be shipped."))
        return HttpResponseRedirect(reverse("admin:ledger_order_change", args=[order.pk]))

    def _link_to_next(self, order: Order) -> str:
        """Return a link to the order to be shipped next: of the others, the one paid first."""
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


def _may_have_keepable_money(lines: Sequence[OrderLine], order: Order) -> bool:
    """Return whether an order may have money that can be kept, by its `lines_of`.

    It has none if its total was paid and no refund failed.
    """
    facts = [vars(line) for line in lines]
    return any(fact["has_failed_refund"] or fact["paid"] not in (None, order.total) for fact in facts)


def _last_carrier(actor: str) -> str:
    """Return the carrier of the user's latest parcel, which is usually that of the next."""
    latest = Shipment.objects.filter(actor=actor).order_by("-pk").values_list("carrier", flat=True).first()
    return latest or ""


def _tell_outcome(request: HttpRequest, refund: Refund) -> None:
    """Show what became of a refund that was just requested."""
    values = {"amount": yen(refund.amount), "email": refund.order.email, "reason": refund.failure_reason}
    if refund.status == Refund.Status.FAILED:
        text = _("Stripe refused the refund: %(reason)s. The money is still owed to the customer.")
        messages.error(request, text % values)
    elif refund.status == Refund.Status.REQUESTED and not TaxStatus.objects.exists():
        text = _("The tax status is not entered yet. The refund of %(amount)s is posted as soon as it is.")
        messages.warning(request, text % values)
    elif refund.status == Refund.Status.REQUESTED:
        text = _("Stripe does not answer. The refund of %(amount)s is sent as soon as it does.")
        messages.warning(request, text % values)
    elif refund.status == Refund.Status.REQUIRES_ACTION:
        text = _("Stripe asks %(email)s for a bank account, to which the %(amount)s then go.")
        messages.success(request, text % values)
    else:
        text = _("%(amount)s are on their way back to the customer.")
        messages.success(request, text % values)
