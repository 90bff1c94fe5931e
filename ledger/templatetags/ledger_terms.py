"""The shop's terms as texts: one template for each, which pages and mails show in the active language."""

from typing import Any

from django import template
from django.conf import settings
from django.template.loader import render_to_string
from django.utils.translation import get_language

register = template.Library()


@register.simple_tag
def terms(name: str, part: str = "", **values: Any) -> str:
    """Return the text of `templates/ledger/terms/<name>.txt`; a `part` of it is for a special place.

    The text of the delivery needs the value `table` (`ledger.sales.delivery`).
    """
    context = {
        "part": part,
        "return_days": settings.RETURN_DAYS,
        "hour": settings.DISPATCH_CUTOFF_HOUR,
        "shipping_fee": settings.SHIPPING_FEE,
        "free_from": settings.FREE_SHIPPING_FROM,
        "seller": seller(),
        **values,
    }
    return render_to_string(f"ledger/terms/{name}.txt", context).strip()


def seller() -> dict[str, str]:
    """Return name, address, telephone and hours of the seller in the active language."""
    return settings.SELLER["en" if get_language() == "en" else "ja"]
