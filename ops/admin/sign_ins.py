"""Sign-ins of all staff, for the owner."""

from django.contrib import admin

from kikaku.admin.columns import time_column
from kikaku.admin.readonly import ReadOnlyAdmin
from ops.models import SignIn


@admin.register(SignIn)
class SignInAdmin(ReadOnlyAdmin):
    """Who signed in or tried to, when, from where and how."""

    list_display = (time_column(SignIn, "at"), "user", "succeeded", "method", "address", "browser")
    list_filter = ("succeeded", "method", "at")
    list_select_related = ("user",)
    search_fields = ("user__username", "address")
