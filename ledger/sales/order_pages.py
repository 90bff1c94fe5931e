"""Addresses of the pages that a customer sees; the shop provides them, by `settings.ORDER_PAGES`."""

from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from ledger.models import Order


class OrderPages(Protocol):
    """Paths of the customer's pages, in the active language."""

    def home(self) -> str:
        """Return the path of the first page."""

    def order(self, order: Order) -> str:
        """Return the path of an order's page; it contains the order's secret token."""

    def thanks(self, order: Order) -> str:
        """Return the path of the page that a customer sees after paying."""


def order_pages() -> OrderPages:
    """Return an instance of the class that `settings.ORDER_PAGES` names by its dotted path."""
    pages: OrderPages = import_string(settings.ORDER_PAGES)()
    return pages


def absolute(path: str) -> str:
    """Return the full address of a path, for mails and for Stripe."""
    return f"{settings.STOREFRONT_BASE_URL}{path}"
