"""Customers without limits: staff add the e-mail of one who places a genuine large order."""

from django.contrib import admin

from kikaku.admin.editable import EditableAdmin
from ledger.models import OrderAllowance


@admin.register(OrderAllowance)
class OrderAllowanceAdmin(EditableAdmin):
    """E-mails whose unpaid orders and vouchers have no limit, each with the reason."""

    list_display = ("email", "note")
    search_fields = ("email", "note")
    fields = ("email", "note")
