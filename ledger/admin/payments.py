"""Payments in the admin: payment pages, payments, refunds and Stripe's balance transactions."""

from django.contrib import admin
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from kikaku.admin.columns import day_column, money_column, time_column
from kikaku.admin.readonly import ReadOnlyAdmin
from kikaku.money import yen
from ledger.models import BalanceTransaction, CheckoutAttempt, Payment, Refund

# what staff should know or do
STATUS_EXPLANATIONS: dict[str, Promise] = {
    Refund.Status.REQUESTED: gettext_lazy("Stripe has not answered yet; it is sent again every minute."),
    Refund.Status.REQUIRES_ACTION: gettext_lazy(
        "Paid in cash: Stripe asks the customer by e-mail for a bank account, for 45 days. "
        "Owed (2120) until then."
    ),
    Refund.Status.PENDING: gettext_lazy("On its way; Stripe tells when it has arrived."),
    Refund.Status.SUCCEEDED: gettext_lazy("Done; the customer has got a mail."),
    Refund.Status.FAILED: gettext_lazy(
        "It did not reach the customer and is owed (2120). Refund again, or agree on another way."
    ),
    Refund.Status.CANCELED: gettext_lazy(
        "Cancelled at Stripe before it left, and owed (2120). Refund again, or agree on another way."
    ),
}


@admin.register(CheckoutAttempt)
class CheckoutAttemptAdmin(ReadOnlyAdmin):
    """Checkout attempts: payment pages at Stripe."""

    list_display = (
        time_column(CheckoutAttempt, "created_at"),
        "order",
        "status",
        time_column(CheckoutAttempt, "expires_at"),
        time_column(CheckoutAttempt, "voucher_expires_at"),
        "last_error",
        "session_id",
    )
    list_filter = ("status",)
    list_select_related = ("order",)
    search_fields = ("session_id", "order__number")
    exclude = ("idempotency_key", "url", "voucher_url", "voucher_codes")


@admin.register(Payment)
class PaymentAdmin(ReadOnlyAdmin):
    """Captured payments."""

    list_display = (
        time_column(Payment, "captured_at"),
        "order",
        money_column(Payment, "amount"),
        "paid_by",
        "payment_intent",
    )
    list_filter = ("method", "brand", "captured_at")
    list_select_related = ("order",)
    search_fields = ("payment_intent", "charge", "order__number")
    exclude = ("amount",)
    readonly_fields = ("amount_yen",)

    @display(description=gettext_lazy("amount"))
    def amount_yen(self, payment: Payment) -> str:
        """Return the amount in yen."""
        return yen(payment.amount)

    @display(description=gettext_lazy("paid by"), ordering="brand")
    def paid_by(self, payment: Payment) -> str:
        """Return the card, or the name of the method."""
        return payment.means


@admin.register(Refund)
class RefundAdmin(ReadOnlyAdmin):
    """Refunds, with the parts that they are taken from."""

    list_display = (
        time_column(Refund, "requested_at"),
        "order",
        money_column(Refund, "amount"),
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
        "status",
        "meaning",
        "reason",
        "failure_reason",
        "parts",
        "restock",
        "requested_at",
        "actor",
        "payment",
        "stripe_id",
    )
    readonly_fields = ("amount_yen", "meaning", "parts")

    @display(description=gettext_lazy("amount"))
    def amount_yen(self, refund: Refund) -> str:
        """Return the amount in yen."""
        return yen(refund.amount)

    @display(
        description=gettext_lazy("status"),
        ordering="status",
        label={
            Refund.Status.REQUESTED.value: "info",
            Refund.Status.REQUIRES_ACTION.value: "warning",
            Refund.Status.PENDING.value: "info",
            Refund.Status.SUCCEEDED.value: "success",
            Refund.Status.FAILED.value: "danger",
            Refund.Status.CANCELED.value: "danger",
        },
    )
    def state(self, refund: Refund) -> tuple[str, str]:
        """Return a badge of the status."""
        return refund.status, refund.get_status_display()

    @display(description=gettext_lazy("what it means"))
    def meaning(self, refund: Refund) -> str:
        """Return what the status means and what is to be done."""
        return str(STATUS_EXPLANATIONS[refund.status])

    @display(description=gettext_lazy("taken from"))
    def parts(self, refund: Refund) -> str:
        """Return a line for each part: what it is for, and the accounts that it is taken from."""
        lines = refund.lines.select_related("order_line")
        return "\n".join(
            " ".join(
                filter(
                    None,
                    [
                        line.order_line.packing_title if line.order_line else "",
                        _("%(count)d cancelled") % {"count": line.quantity - line.returned}
                        if line.order_line and line.quantity > line.returned
                        else "",
                        _("%(count)d returned") % {"count": line.returned} if line.returned else "",
                        line.get_tax_class_display(),
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
    """Changes of Stripe's balance, as Stripe reports them."""

    list_display = (
        day_column(BalanceTransaction, "day"),
        "type",
        money_column(BalanceTransaction, "amount"),
        money_column(BalanceTransaction, "fee"),
        money_column(BalanceTransaction, "net"),
        "source",
        "id",
    )
    list_filter = ("type", "day")
    search_fields = ("id", "source", "description")
    date_hierarchy = "day"
    exclude = ("amount", "fee", "net")
    readonly_fields = ("amount_yen", "fee_yen", "net_yen")

    @display(description=gettext_lazy("gross"))
    def amount_yen(self, row: BalanceTransaction) -> str:
        """Return what came in or went out, in yen."""
        return yen(row.amount)

    @display(description=gettext_lazy("fee"))
    def fee_yen(self, row: BalanceTransaction) -> str:
        """Return Stripe's fee in yen."""
        return yen(row.fee)

    @display(description=gettext_lazy("net"))
    def net_yen(self, row: BalanceTransaction) -> str:
        """Return by how much the balance changed, in yen."""
        return yen(row.net)
