"""Pages and forms of the admin of orders."""

import re
from typing import Any

from django.urls import reverse

from ledger.models import Order


def page_of(order: Order, action: str = "") -> str:
    """Return the address of an order's page, or of one of its actions."""
    return reverse("admin:ledger_order_change", args=[order.pk]).replace(
        "change/", f"{action}/" if action else "change/"
    )


def fields_of(answer: Any) -> dict[str, str]:
    """Return the fields of a page's form as a browser would send them back unchanged."""
    page = answer.content.decode()
    form = page[page.rindex('<form method="post"') :]
    found = {}
    for tag in re.findall(r"<input[^>]*>", form):
        name = re.search(r'name="([^"]*)"', tag)
        value = re.search(r'value="([^"]*)"', tag)
        kind = re.search(r'type="([^"]*)"', tag)
        if name and (
            kind is None or kind[1] not in ("checkbox", "radio") or re.search(r"\schecked[\s>]", tag)
        ):
            found[name[1]] = value[1] if value else "on" if kind and kind[1] == "checkbox" else ""
    for select in re.findall(r"<select.*?</select>", form, re.S):
        name = re.search(r'name="([^"]*)"', select)
        value = re.search(r'<option value="([^"]*)"', select)
        if name and value:
            found[name[1]] = value[1]
    return found
