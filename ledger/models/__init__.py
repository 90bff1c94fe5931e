"""The books of money and goods, one module per subject."""

from ledger.models.books import Account, JournalEntry, JournalLine
from ledger.models.closing import ClosingBalance, DailyClose, Discrepancy, EvidenceFile
from ledger.models.delivery import Carrier, DeliveryTime, RemoteArea
from ledger.models.mail import OutgoingMail
from ledger.models.order_events import OrderEvent
from ledger.models.orders import CheckoutAttempt, Order, OrderAllowance, OrderLine, Shipment, ShipmentLine
from ledger.models.payments import (
    BalanceTransaction,
    KeptMoney,
    KeptMoneyLine,
    Payment,
    Refund,
    RefundLine,
    SetAside,
    StripeAccount,
    StripeEvent,
)
from ledger.models.stock import StockItem, StockMovement
from ledger.models.tax import TaxRate, TaxStatus

__all__ = [
    "Account",
    "BalanceTransaction",
    "Carrier",
    "CheckoutAttempt",
    "ClosingBalance",
    "DailyClose",
    "DeliveryTime",
    "Discrepancy",
    "EvidenceFile",
    "JournalEntry",
    "JournalLine",
    "KeptMoney",
    "KeptMoneyLine",
    "Order",
    "OrderAllowance",
    "OrderEvent",
    "OrderLine",
    "OutgoingMail",
    "Payment",
    "Refund",
    "RefundLine",
    "RemoteArea",
    "SetAside",
    "Shipment",
    "ShipmentLine",
    "StockItem",
    "StockMovement",
    "StripeAccount",
    "StripeEvent",
    "TaxRate",
    "TaxStatus",
]
