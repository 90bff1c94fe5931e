"""The shop's admin, one module per subject: products, content and the customers' messages."""

from auditlog.registry import auditlog

from shop.admin import contact, content, products
from shop.models import Category, ContentPage, Product, Variant

for audited in (Category, Product, Variant, ContentPage):
    auditlog.register(audited)  # who changed what

__all__ = ["contact", "content", "products"]
