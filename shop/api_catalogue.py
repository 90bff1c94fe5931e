"""The catalogue as JSON, for a storefront of its own (`shop/openapi.json`): one query for a page of it."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db.models import OuterRef, Q, QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, override

from kikaku.json_rows import JsonRows, rows
from shop.catalogue import TEXT_COLUMNS, StockState, file_url, specification_rows, stock_state
from shop.models import Picture, Product, Variant, size_name
from shop.pages.links import absolute, product_url
from shop.paging import Paging

Json = dict[str, Any]


def load_page(paging: Paging) -> Json:
    """Return a page of the active products in the shop's order, and the address of the next one."""
    products = Product.objects.filter(status=Product.Status.ACTIVE)
    if paging.after:
        position, pk = paging.after
        products = products.filter(Q(position__gt=position) | Q(position=position, pk__gt=pk))
    found = list(_with_parts(products.order_by("position", "pk")[: paging.limit + 1]))
    shown = found[: paging.limit]
    following = None
    if len(found) > paging.limit:
        after = Paging(paging.limit, (shown[-1]["position"], shown[-1]["pk"]))
        following = f"{absolute(reverse('api_products'))}?{after.parameters()}"
    return {"products": [to_json(row) for row in shown], "next": following}


def load_one(slug: str) -> Json | None:
    """Return an active product."""
    found = _with_parts(Product.objects.filter(status=Product.Status.ACTIVE, slug=slug)).first()
    return to_json(found) if found else None


def _with_parts(products: QuerySet[Product]) -> QuerySet[Product, Any]:
    own = {"product": OuterRef("pk")}
    selected: QuerySet[Product, Any] = products.values(
        "pk",
        "position",
        *TEXT_COLUMNS,
        variants_json=JsonRows(
            Variant.objects.on_sale().filter(**own).order_by("position", "id"),
            *("id", "sku", "option_ja", "option_en", "price", "compare_at_price", "kelvin", "lumens"),
            *("stock__on_hand", "stock__reserved"),
        ),
        pictures_json=JsonRows(
            Picture.objects.filter(**own).order_by("position", "id"),
            *("file", "sizes", "width", "height", "alt_ja", "alt_en", "variant_id"),
        ),
        specifications_json=specification_rows(),
    )
    return selected


def to_json(row: Mapping[str, Any]) -> Json:
    """Return a product of `_with_parts` as the document describes it."""
    variants = rows(row["variants_json"])
    skus = {variant["id"]: variant["sku"] for variant in variants}
    return {
        "slug": row["slug"],
        "url": _addresses(row["slug"]),
        "title": _texts(row, "title"),
        "lead": _texts(row, "lead_spec"),
        "description": _texts(row, "description"),
        "category": {"slug": row["category__slug"], "name": _texts(row, "category__name")},
        "variants": [
            {
                "sku": variant["sku"],
                "option": _texts(variant, "option"),
                "price": variant["price"],
                "compare_at_price": variant["compare_at_price"],
                "kelvin": variant["kelvin"],
                "lumens": variant["lumens"],
                "availability": _availability(variant["stock__on_hand"] - variant["stock__reserved"]),
            }
            for variant in variants
        ],
        "pictures": [
            {
                "url": absolute(file_url(picture["file"])),
                "width": picture["width"],
                "height": picture["height"],
                "alt": _texts(picture, "alt"),
                "sku": skus.get(picture["variant_id"]),
                "sizes": [
                    {"url": absolute(file_url(size_name(picture["file"], int(width)))), "width": int(width)}
                    for width in picture["sizes"].split()
                ],
            }
            for picture in rows(row["pictures_json"])
            if picture["variant_id"] is None or picture["variant_id"] in skus
        ],
        "specifications": [
            {"name": _texts(line, "name"), "value": _texts(line, "value")}
            for line in rows(row["specifications_json"])
        ],
    }


def _texts(row: Mapping[str, Any], name: str) -> Json:
    """Return a text in both languages; where the English one is missing, the shop shows the Japanese."""
    return {"ja": row[f"{name}_ja"], "en": row[f"{name}_en"] or row[f"{name}_ja"]}


def _addresses(slug: str) -> Json:
    addresses = {}
    for language, _name in settings.LANGUAGES:
        with override(language):
            addresses[language] = absolute(product_url(slug))
    return addresses


def _availability(pieces: int) -> Json:
    """Return what the shop says about a stock: how many are left only when they are few."""
    state = stock_state(pieces)
    texts = {}
    for language, _name in settings.LANGUAGES:
        with override(language):
            texts[language] = _stock_text(state, pieces)
    return {"state": state, "left": pieces if state == "low" else None, "text": texts}


def _stock_text(state: StockState, pieces: int) -> str:
    if state == "in":
        return _("In stock")
    if state == "out":
        return _("Sold out")
    return ngettext("%(n)s left", "%(n)s left", pieces) % {"n": pieces}
