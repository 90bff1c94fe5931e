"""The shop's terms as texts: one template for each, which pages and mails show in the active language."""

from django import template
from django.conf import settings
from django.template.loader import render_to_string

register = template.Library()


@register.simple_tag
def terms(name: str, part: str = "") -> str:
    """Return the text of `templates/ledger/terms/<name>.txt`; a `part` of it is for a special place."""
    values = {"part": part, "return_days": settings.RETURN_DAYS}
    return render_to_string(f"ledger/terms/{name}.txt", values).strip()
