"""The admin of the books, one module per subject; all of it read-only, its actions are domain functions."""

from ledger.admin import books, mail, orders, payments, stock, stripe

__all__ = ["books", "mail", "orders", "payments", "stock", "stripe"]
