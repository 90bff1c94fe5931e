"""The shop's admin, one module per subject: products, content and the customers' messages."""

from auditlog.registry import auditlog

from ledger.models import Carrier, DeliveryTime, OrderAllowance, RemoteArea, SetAside, TaxRate
from shop.admin import contact, content, products
from shop.models import Category, ContentPage, Product, Redirect, SearchSynonym, Variant

AUDITED = (
    Category,
    Product,
    Variant,
    ContentPage,
    SearchSynonym,
    Redirect,
    Carrier,
    DeliveryTime,
    RemoteArea,
    OrderAllowance,
    SetAside,
    TaxRate,
)
for audited in AUDITED:
    auditlog.register(
        audited, exclude_fields=["search_text"] if audited is Product else None
    )  # who changed what

__all__ = ["contact", "content", "products"]
