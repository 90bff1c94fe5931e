"""Carriers with their delivery days, and the islands, as staff maintain them."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import TabularInline

from kikaku.admin.editable import EditableAdmin
from ledger.models import Carrier, DeliveryTime, RemoteArea
from ledger.models.delivery import PREFECTURE_NUMBERS
from ledger.sales.delivery import load_table, make_usual


class DeliveryTimeInline(TabularInline):
    """The days to each of the 47 prefectures; a carrier has all of them."""

    model = DeliveryTime
    fields = ("prefecture", "days")
    readonly_fields = ("prefecture",)
    ordering = ("prefecture",)
    extra = 0
    can_delete = False
    hide_title = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: the rows come with the carrier."""
        return False


@admin.register(Carrier)
class CarrierAdmin(EditableAdmin):
    """Carriers: the tracking page, and the days to each prefecture."""

    list_display = ("name", "is_usual", "tracking_url", "position")
    fields = ("name", "tracking_url", "is_usual", "position")
    readonly_fields = ("is_usual",)
    inlines = (DeliveryTimeInline,)
    actions = ("make_usual",)

    @admin.action(description=gettext_lazy("Make it the usual carrier"), permissions=["change"])
    def make_usual(self, request: HttpRequest, queryset: QuerySet[Carrier]) -> None:
        """Let the shop's pages show the days of the chosen carrier."""
        chosen = list(queryset)
        if len(chosen) != 1:
            messages.warning(request, _("Please choose one carrier."))
            return
        make_usual(chosen[0])
        text = _("The shop’s pages show the days of %(carrier)s.")
        messages.success(request, text % {"carrier": chosen[0]})

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        """Return the days of a carrier that is stored: a new one gets those of the usual carrier first."""
        return self.inlines if obj is not None else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether a carrier may be deleted: the usual one is needed."""
        return super().has_delete_permission(request, obj) and not (obj is not None and obj.is_usual)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Delete the chosen carriers but the usual one."""
        super().delete_queryset(request, queryset.filter(is_usual=False))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save a carrier; a new one gets the days of the usual one."""
        table = None if change else load_table()
        super().save_model(request, obj, form, change)
        if table is not None:
            DeliveryTime.objects.bulk_create(
                DeliveryTime(carrier=obj, prefecture=number, days=table.days(name))
                for name, number in PREFECTURE_NUMBERS.items()
            )
            text = _("The carrier starts with the days of the usual one. Please correct them.")
            messages.info(request, text)


@admin.register(RemoteArea)
class RemoteAreaAdmin(EditableAdmin):
    """Islands with a longer delivery."""

    list_display = ("name", "prefecture", "postal_prefixes", "more_days")
    search_fields = ("name", "postal_prefixes")
