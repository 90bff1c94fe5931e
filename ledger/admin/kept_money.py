"""Kept money in the admin: what was moved to other income, by whom and why."""

from django.contrib import admin

from kikaku.admin.columns import money_column, time_column
from kikaku.admin.readonly import ReadOnlyAdmin
from ledger.models import KeptMoney


@admin.register(KeptMoney)
class KeptMoneyAdmin(ReadOnlyAdmin):
    """Kept money; a negative amount was refunded at Stripe after all."""

    list_display = (
        time_column(KeptMoney, "at"),
        "order",
        money_column(KeptMoney, "amount"),
        "reason",
        "actor",
    )
    list_select_related = ("order",)
    list_filter = ("at",)
    search_fields = ("order__number", "reason")
    fields = ("order", "amount", "reason", "at", "actor")
