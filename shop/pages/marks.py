"""Marks in the content pages: where staff write {{返品条件}}, the page shows the shop's own text.

So a rule that stands on several pages has one source, the templates in `ledger/terms`.
"""

import re

from django.utils.html import escape

from ledger.templatetags.ledger_terms import terms

MARK = re.compile(r"\{\{\s*([^{}<>]*?)\s*\}\}")
TERMS = {  # mark → template in `ledger/terms`
    "返品条件": "returns",
    "キャンセル条件": "cancellation",
}


def fill_marks(html: str) -> str:
    """Return the HTML of a content page with each mark replaced by its text in the active language."""
    return MARK.sub(lambda found: escape(terms(TERMS[found[1]])) if found[1] in TERMS else found[0], html)


def unknown_marks(html: str) -> list[str]:
    """Return the marks that stand for nothing, as they were written."""
    return [found[0] for found in MARK.finditer(html) if found[1] not in TERMS]


def offered_marks() -> str:
    """Return the marks as staff write them."""
    return " ".join(f"{{{{{name}}}}}" for name in TERMS)
