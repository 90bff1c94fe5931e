"""Payment by credit card."""

from ledger.models import Payment
from ledger.stripe.methods.base import PaymentMethod


class Card(PaymentMethod):
    """Credit card: paid on Stripe's page at once, refunded to the card."""

    code = Payment.Method.CARD
    report_label = "クレジットカード"
