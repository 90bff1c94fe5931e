"""Addresses of a project that installs the ledger without the shop."""

from django.contrib import admin
from django.urls import include, path

from ledger.models import Order

urlpatterns = [path("webhooks/", include("ledger.urls")), path("admin/", admin.site.urls)]


class ExamplePages:
    """`OrderPages` of a shop that does not exist."""

    def home(self) -> str:
        return "/welcome/"

    def order(self, order: Order) -> str:
        return f"/my-order/{order.token}/"

    def thanks(self, order: Order) -> str:
        return f"/my-order/{order.token}/paid/"
