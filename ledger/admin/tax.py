"""The tax settings: a page with the status in force, its history, and the rates; a form for a new status."""

from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.dates import MONTHS
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from kikaku.admin.readonly import ReadOnlyAdmin
from kikaku.days import business_day
from ledger.admin.tax_forms import TaxRateForm, TaxStatusForm
from ledger.books.tax_rules import TaxRules, load_tax_rules
from ledger.books.tax_status import enter_rate, enter_status, orders_at_other_rates, withdraw_rate
from ledger.ingest import inbox
from ledger.models import TaxRate, TaxStatus
from ledger.models.tax import FICTIONAL_NUMBER

ENTER_STATUS = "ledger.add_taxstatus"
MAX_ORDERS = 30


@admin.register(TaxStatus)
class TaxStatusAdmin(ReadOnlyAdmin):
    """Tax settings. Who may add a tax status may also enter rates; a status is never changed or deleted."""

    fields = ("from_day", "liability", "created_at", "actor")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may enter settings."""
        return request.user.has_perm(ENTER_STATUS)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Return the page of the settings; a post enters a rate, or withdraws one that has not begun."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        now = timezone.now()
        form = TaxRateForm()
        if request.method == "POST":
            if not self.has_add_permission(request):
                raise PermissionDenied
            form = TaxRateForm(request.POST)
            if done := _withdraw(request, now) if "withdraw" in request.POST else _enter_rate(form, now):
                messages.success(request, done)
                return HttpResponseRedirect(request.path)
        rules = load_tax_rules()
        today = business_day(now)
        statuses = list(TaxStatus.objects.all())
        current = rules.status_on(today) if rules.statuses else None
        context = {
            **self.admin_site.each_context(request),
            "title": _("Tax settings"),
            "opts": self.opts,
            "statuses": statuses,
            "current": current,
            "year_end": MONTHS[current.fiscal_year_end] if current is not None else "",
            "today": today,
            "rates": list(TaxRate.objects.order_by("tax_class", "-from_day")),
            "form": form,
            "can_enter": self.has_add_permission(request),
            "fictional_number": FICTIONAL_NUMBER,
            **_orders_over_a_change(rules, now),
        }
        status = 422 if form.errors else 200
        return TemplateResponse(request, "ledger/admin/tax_settings.html", context, status=status)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Return the form of a new status, or store it."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        now = timezone.now()
        form = TaxStatusForm(
            request.POST if request.method == "POST" else None, rules=load_tax_rules(), now=now
        )
        back = reverse("admin:ledger_taxstatus_changelist")
        if form.is_bound and form.is_valid():
            try:
                entered = enter_status(form.instance, actor=request.user.get_username(), now=now)
            except ValidationError as error:
                form.add_error(None, error)
            else:
                inbox.end_pauses(now=now)  # of events that could not be posted without a status
                text = _("The settings hold from %(day)s on.")
                messages.success(request, text % {"day": date_format(entered.from_day)})
                return HttpResponseRedirect(back)
        context = {
            **self.admin_site.each_context(request),
            "title": _("New tax settings"),
            "opts": self.opts,
            "form": form,
            "back": back,
        }
        status = 422 if form.errors else 200
        return TemplateResponse(request, "ledger/admin/tax_status_form.html", context, status=status)


def _enter_rate(form: TaxRateForm, now: datetime) -> str:
    """Enter the rate of a form; return what was done, or "" with the errors in the form."""
    if not form.is_valid():
        return ""
    try:
        rate = enter_rate(TaxRate(**form.cleaned_data), now=now)
    except ValidationError as error:
        form.add_error(None, error)
        return ""
    text = _("%(class)s: %(percent)s %% for what is shipped from %(day)s on.")
    values = {
        "class": rate.get_tax_class_display(),
        "percent": rate.percent,
        "day": date_format(rate.from_day),
    }
    return text % values


def _withdraw(request: HttpRequest, now: datetime) -> str:
    """Withdraw the rate that a form names; return what was done."""
    try:
        key = TaxRate._meta.pk.clean(request.POST["withdraw"], None)
    except ValidationError:
        key = None  # no number, or one that no database holds
    rate = TaxRate.objects.filter(pk=key).first()
    if rate is not None and withdraw_rate(rate, now=now):
        return _("The rate is withdrawn.")
    return _("Nothing was changed: the rate has begun, or was withdrawn before.")


def _orders_over_a_change(rules: TaxRules, now: datetime) -> dict[str, Any]:
    """Return the open orders whose rest is sold at another rate than was shown, and how many there are."""
    if not rules.statuses:
        return {"changed_orders": [], "changed_count": 0}
    orders = orders_at_other_rates(now=now)
    return {"changed_orders": orders[:MAX_ORDERS], "changed_count": orders.count()}
