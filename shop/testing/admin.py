"""Forms of the product admin, and pictures for them."""

import io
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.forms import model_to_dict
from PIL import Image

from shop.models import Product
from shop.testing import build


def form(product: Product | None, **changes: Any) -> dict[str, Any]:
    """Return the fields of the product form as a browser sends them."""
    variants = list(product.variants.all()) if product else []
    pictures = list(product.pictures.all()) if product else []
    specifications = list(product.specifications.all()) if product else []
    fields: dict[str, Any] = {
        "category": build.category().pk,
        "status": "active",
        "slug": product.slug if product else "new",
        "title_ja": "灯り",
        "title_en": "Light",
        "lead_spec_ja": "",
        "lead_spec_en": "",
        "description_ja": "",
        "description_en": "",
        "featured": "",
        "position": "0",
        "pictures-TOTAL_FORMS": str(len(pictures)),
        "pictures-INITIAL_FORMS": str(len(pictures)),
        "specifications-TOTAL_FORMS": str(len(specifications)),
        "specifications-INITIAL_FORMS": str(len(specifications)),
        "variants-TOTAL_FORMS": str(len(variants)),
        "variants-INITIAL_FORMS": str(len(variants)),
    }
    for place, variant in enumerate(variants):
        fields |= row(place, variant.sku, id=variant.pk, product=variant.product_id, price=variant.price)
    for prefix, rows in (("pictures", pictures), ("specifications", specifications)):
        for place, one in enumerate(rows):
            fields |= {
                f"{prefix}-{place}-{name}": value
                for name, value in model_to_dict(one).items()
                if name not in ("file", "variant") and value is not None
            }
    for place, picture in enumerate(pictures):
        fields[f"pictures-{place}-variant_sku"] = picture.variant.sku if picture.variant else ""
    return fields | changes


def row(place: int, sku: str, **values: Any) -> dict[str, Any]:
    """Return the fields of a variant."""
    defaults = {
        "sku": sku,
        "price": 1_000,
        "tax_class": "standard",
        "position": 0,
        "id": "",
        "product": "",
    } | values
    return {f"variants-{place}-{name}": str(value) for name, value in defaults.items()}


def drawing(kind: str = "PNG", size: tuple[int, int] = (40, 30)) -> bytes:
    """Return the bytes of a valid picture."""
    file = io.BytesIO()
    Image.new("RGB", size, "#ffb347").save(file, kind)
    return file.getvalue()


def with_picture(name: str, content: bytes) -> dict[str, Any]:
    """Return the fields of one new picture."""
    return {
        "pictures-TOTAL_FORMS": "1",
        "pictures-0-file": SimpleUploadedFile(name, content),
        "pictures-0-alt_ja": "灯り",
        "pictures-0-position": "0",
    }
