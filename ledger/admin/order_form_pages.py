"""The forms of an order in the admin: loaded, previewed, carried out once, shown again with what is wrong."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Exists, OuterRef, QuerySet, Subquery, Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from kikaku.admin.readonly import ReadOnlyAdmin
from kikaku.admin.reauthentication import posted
from kikaku.money import yen
from ledger.admin.order_forms import CancelForm, KeepForm, ShipForm
from ledger.admin.order_panels import kept_of, payment_totals
from ledger.models import Order, OrderLine, Payment, Refund
from ledger.sales import checkout, kept_money, refund_requests
from ledger.sales.seen import OrderChanged, state_of
from ledger.stripe.methods import method_named

Preview = refund_requests.RefundPreview | kept_money.KeepPreview


class OrderFormPages(ReadOnlyAdmin):
    """Pages of one order whose form calls one domain function."""

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the order, loaded once for a request that needs it in several places."""
        loaded = request.__dict__.setdefault("_orders", {})
        if object_id not in loaded:
            lines = self.lines_of(request, object_id)
            loaded[object_id] = (
                lines[0].order if lines else super().get_object(request, object_id, from_field)
            )
        return loaded[object_id]

    def lines_of(self, request: HttpRequest, object_id: str) -> list[OrderLine]:
        """Return the lines of an order, loaded once for a request, and in the same query as the order."""
        loaded = request.__dict__.setdefault("_order_lines", {})
        if object_id not in loaded:
            try:
                pk = Order._meta.pk.clean(object_id, None)
            except ValidationError:
                pk = None  # the id comes from the URL: no number, or one that no database holds
            lines = OrderLine.objects.filter(order=pk).select_related("order").order_by("position")
            paid = Payment.objects.filter(order=OuterRef("order")).order_by().values("order")
            # for `_may_have_keepable_money`
            lines = lines.annotate(
                paid=Subquery(paid.annotate(sum=Sum("amount")).values("sum")),
                has_failed_refund=Exists(Refund.objects.failed().filter(order=OuterRef("order"))),
            )
            loaded[object_id] = list(lines)
        found: list[OrderLine] = loaded[object_id]
        return found

    def _order(self, request: HttpRequest, object_id: str) -> Order:
        """Return the order of an action's URL. Raises `PermissionDenied`, `Http404`."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        order = self.get_object(request, object_id)
        if not isinstance(order, Order):
            raise Http404
        return order

    def _redirect_repeated(self, request: HttpRequest, order: Order) -> HttpResponse:
        """Redirect after a form that was sent twice; the first one was carried out."""
        messages.info(request, _("This form was carried out already; nothing was done twice."))
        return HttpResponseRedirect(reverse("admin:ledger_order_change", args=[order.pk]))

    def _run_previewed_form(
        self,
        request: HttpRequest,
        order: Order,
        build_form: Callable[[QueryDict | None], Any],
        preview: Callable[[Any], Preview | None],
        act: Callable[[Any, str], str],
        title: str,
        buttons: tuple[str, str],
        refusal: type[Exception],
        *,
        done: QuerySet[Any],
    ) -> HttpResponse:
        """Return an action's form; then a preview of what it does; act once that preview is confirmed.

        `preview` may add an error to the form and return None. `act` gets the digest of the confirmed plan
        and returns as in `_run_form`. The second of the `buttons` names the `amount` of the preview.
        """
        if done.exists():
            return self._redirect_repeated(request, order)
        form = build_form(posted(request))
        shown: Preview | None = None
        if form.is_bound and form.is_valid():
            try:
                shown = preview(form)
            except refusal as reason:
                form.add_error(None, str(reason))
        confirmed = form.cleaned_data.get("confirmed") if shown else ""
        if shown and confirmed and confirmed != shown.plan:
            messages.warning(request, str(OrderChanged()))

        def act_if_confirmed(form: Any) -> str | None:
            return act(form, shown.plan) if shown and confirmed == shown.plan else None

        button = buttons[1] % {"amount": yen(shown.amount)} if shown else buttons[0]
        refusals = (refusal, OrderChanged)
        return self._run_form(
            request, order, form, act_if_confirmed, title, button, refusals, done=done, preview=shown
        )

    def _run_form(
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
        """Return an action's form; when it is valid, call `act` and redirect to the order.

        `act` returns the message to show, "" when it has added its own, or None to show the form again.
        `done` selects the rows that this form has stored: of two clicks at the same moment, the second may
        be invalid only because the first was carried out.
        """
        if form.is_bound and form.is_valid() and request.method == "POST":
            try:
                message = act(form)
            except checkout.PaymentUnavailable:
                form.add_error(
                    None, _("Stripe does not answer, so nothing was changed. Please try again later.")
                )
            except refusals as refusal:
                order.refresh_from_db()
                form.add_error(None, str(refusal))
            else:
                if message is not None:
                    if message:
                        messages.success(request, message)
                    return HttpResponseRedirect(reverse("admin:ledger_order_change", args=[order.pk]))
        if form.errors and done is not None and done.exists():
            return self._redirect_repeated(request, order)
        return TemplateResponse(
            request,
            "ledger/admin/order_action.html",
            {
                **self.admin_site.each_context(request),
                "title": f"{title}: {order.number}",
                "opts": self.opts,
                "order": order,
                "money": payment_totals(order.payments.all(), order.refunds.all(), kept_of(order)),
                "form": form,
                "seen": state_of(order),
                "button": button,
                "danger": isinstance(form, CancelForm),
                "parcel": isinstance(form, ShipForm),
                "keeping": isinstance(form, KeepForm),
                "to_bank_account": any(
                    method_named(payment.method).refunds_to_bank_account for payment in order.payments.all()
                ),
                "back": reverse("admin:ledger_order_change", args=[order.pk]),
                **context,
            },
            status=200 if not form.errors else 422,
        )


def nonce_of(request: HttpRequest) -> str:
    """Return the nonce of the form that was sent, "-" without one; PostgreSQL rejects NUL."""
    return request.POST.get("nonce", "-").replace("\x00", "")
