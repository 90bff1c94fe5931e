"""The pages of an order, as the ledger's mails, its admin and Stripe's payment page link to them."""

from django.urls import reverse

from ledger.models import Order


class ShopOrderPages:
    """Implementation of `ledger.sales.order_pages.OrderPages`, named by `settings.ORDER_PAGES`."""

    def home(self) -> str:
        """Return the path of the first page."""
        return reverse("home")

    def order(self, order: Order) -> str:
        """Return the path of an order's page; it contains the order's secret token."""
        return reverse("order", args=[order.token])

    def thanks(self, order: Order) -> str:
        """Return the path of the page that a customer sees after paying."""
        return reverse("order_thanks", args=[order.token])
