"""Money of orders in the admin, to look things up: payment pages, payments, refunds, Stripe's balance."""

from django.contrib import admin
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from ledger.admin.columns import day, money, when
from ledger.admin.readonly import ReadOnlyAdmin
from ledger.models import BalanceTransaction, CheckoutAttempt, Payment, Refund
from ledger.templatetags.ledger_money import yen


@admin.register(CheckoutAttempt)
class CheckoutAttemptAdmin(ReadOnlyAdmin):
    """Payment pages at Stripe."""

    list_display = (
        when(CheckoutAttempt, "created_at"),
        "order",
        "status",
        when(CheckoutAttempt, "expires_at"),
        "last_error",
        "session_id",
    )
    list_filter = ("status",)
    list_select_related = ("order",)
    search_fields = ("session_id", "order__number")
    exclude = ("idempotency_key", "url")


@admin.register(Payment)
class PaymentAdmin(ReadOnlyAdmin):
    """Captured money."""

    list_display = (
        when(Payment, "captured_at"),
        "order",
        money(Payment, "amount"),
        "brand",
        "last4",
        "payment_intent",
    )
    list_filter = ("brand", "captured_at")
    list_select_related = ("order",)
    search_fields = ("payment_intent", "charge", "order__number")


@admin.register(Refund)
class RefundAdmin(ReadOnlyAdmin):
    """Money on its way back, with what it takes from."""

    list_display = (
        when(Refund, "requested_at"),
        "order",
        money(Refund, "amount"),
        "state",
        "reason",
        "actor",
        "stripe_id",
    )
    list_filter = ("status", "requested_at")
    list_select_related = ("order",)
    search_fields = ("stripe_id", "order__number")
    fields = (
        "order",
        "amount_yen",
        "state",
        "reason",
        "failure_reason",
        "parts",
        "restock",
        "requested_at",
        "actor",
        "payment",
        "stripe_id",
    )
    readonly_fields = ("amount_yen", "state", "parts")

    @display(description=gettext_lazy("amount"))
    def amount_yen(self, refund: Refund) -> str:
        """Show the amount in yen."""
        return yen(refund.amount)

    @display(
        description=gettext_lazy("status"),
        ordering="status",
        label={
            Refund.Status.SUCCEEDED.value: "success",
            Refund.Status.FAILED.value: "danger",
        },
    )
    def state(self, refund: Refund) -> tuple[str, str]:
        """Show the state as a coloured word."""
        return refund.status, refund.get_status_display()

    @display(description=gettext_lazy("taken from"))
    def parts(self, refund: Refund) -> str:
        """Say what each part takes from."""
        lines = refund.lines.select_related("order_line")
        return "\n".join(
            " ".join(
                filter(
                    None,
                    [
                        line.order_line.title if line.order_line else "",
                        f"{line.tax_rate}%" if line.tax_rate else "",
                        _("before shipment %(amount)s") % {"amount": yen(line.prepaid)}
                        if line.prepaid
                        else "",
                        _("after shipment %(amount)s") % {"amount": yen(line.recognised)}
                        if line.recognised
                        else "",
                        _("owed %(amount)s") % {"amount": yen(line.payable)} if line.payable else "",
                    ],
                )
            )
            for line in lines
        )


@admin.register(BalanceTransaction)
class BalanceTransactionAdmin(ReadOnlyAdmin):
    """Every change of Stripe's balance, as Stripe tells it."""

    list_display = (
        day(BalanceTransaction, "day"),
        "type",
        money(BalanceTransaction, "amount"),
        money(BalanceTransaction, "fee"),
        money(BalanceTransaction, "net"),
        "source",
        "id",
    )
    list_filter = ("type", "day")
    search_fields = ("id", "source", "description")
    date_hierarchy = "day"
