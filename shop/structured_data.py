"""What search engines read of a page: schema.org as JSON-LD."""

import json
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from kikaku.money import REDUCED
from ledger.sales.delivery import DeliveryTable
from shop.catalogue import Choice, ProductDetail
from shop.pages.links import absolute, active_links, variant_url

SCHEMA = "https://schema.org/"


def of_product(found: ProductDetail, table: DeliveryTable) -> list[str]:
    """Return the JSON-LD texts of a product's page: the product with its offers, and the way to it."""
    summary = table.summary
    transit = days(min(low for _name, low, _high in summary), max(high for _name, _low, high in summary))
    product = {
        "@context": SCHEMA,
        "@type": "Product",
        "name": found.title,
        "description": found.description,
        "category": found.category_name,
        "brand": {"@type": "Brand", "name": "LED企画"},
        "image": [absolute(url) for url in found.rasters],
        "offers": [offer(found, choice, transit) for choice in found.choices],
    }
    trail = [
        (_("Home"), active_links()["home"]),
        (found.category_name, found.category_url),
        (found.title, found.url),
    ]
    return [write(product), write(breadcrumbs(trail))]


def offer(found: ProductDetail, choice: Choice, transit: dict[str, Any]) -> dict[str, Any]:
    """Return a variant's price, stock, shipping and returns as an Offer."""
    return {
        "@type": "Offer",
        "sku": choice.sku,
        "url": absolute(variant_url(found.slug, choice.sku)),
        "price": choice.price,
        "priceCurrency": "JPY",
        "itemCondition": f"{SCHEMA}NewCondition",
        "availability": f"{SCHEMA}{'InStock' if choice.available else 'OutOfStock'}",
        "shippingDetails": shipping(choice.price, transit),
        "hasMerchantReturnPolicy": returns(food=choice.tax_class == REDUCED),
    }


def shipping(price: int, transit: dict[str, Any]) -> dict[str, Any]:
    """Return what the delivery of one piece costs (JPY), and how long it takes."""
    fee = 0 if price >= settings.FREE_SHIPPING_FROM else settings.SHIPPING_FEE
    return {
        "@type": "OfferShippingDetails",
        "shippingRate": {"@type": "MonetaryAmount", "value": fee, "currency": "JPY"},
        "shippingDestination": {"@type": "DefinedRegion", "addressCountry": "JP"},
        "deliveryTime": {
            "@type": "ShippingDeliveryTime",
            "handlingTime": days(0, 1),
            "transitTime": transit,
        },
    }


def days(least: int, most: int) -> dict[str, Any]:
    """Return a range of days."""
    return {"@type": "QuantitativeValue", "minValue": least, "maxValue": most, "unitCode": "DAY"}


def returns(*, food: bool) -> dict[str, Any]:
    """Return the terms of returns; food and drinks are taken back only if something is wrong with them."""
    policy = {"@type": "MerchantReturnPolicy", "applicableCountry": "JP"}
    if food:
        return policy | {"returnPolicyCategory": f"{SCHEMA}MerchantReturnNotPermitted"}
    return policy | {
        "returnPolicyCategory": f"{SCHEMA}MerchantReturnFiniteReturnWindow",
        "merchantReturnDays": settings.RETURN_DAYS,
        "returnMethod": f"{SCHEMA}ReturnByMail",
        "returnFees": f"{SCHEMA}ReturnFeesCustomerResponsibility",
    }


def breadcrumbs(trail: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return the way to a page, of (name, path)."""
    return {
        "@context": SCHEMA,
        "@type": "BreadcrumbList",
        "itemListElement": [
            {"@type": "ListItem", "position": place, "name": name, "item": absolute(path)}
            for place, (name, path) in enumerate(trail, start=1)
        ],
    }


def write(data: dict[str, Any]) -> str:
    """Return JSON without the characters that could end the script element around it."""
    return (
        json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026")
    )
