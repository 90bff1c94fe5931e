"""Admin of the ledger, one module per subject: read-only pages, whose actions call domain functions."""

from ledger.admin import (
    allowances,
    books,
    closes,
    delivery,
    discrepancies,
    kept_money,
    mail,
    orders,
    parcels,
    payments,
    stock,
    stripe,
    tax,
)

__all__ = [
    "allowances",
    "books",
    "closes",
    "delivery",
    "discrepancies",
    "kept_money",
    "mail",
    "orders",
    "parcels",
    "payments",
    "stock",
    "stripe",
    "tax",
]
