"""Parts of pages that are rendered once and kept: the text of a part is a function of its language and values alone.

A page is rendered anew after every price that changes, and most of it is what it was: the footer, the specifications,
the cards of other products. Such a part is a template of its own that sees nothing but the values it is given, and
these are frozen, so what is kept under them can not be old.
"""

from collections.abc import Hashable
from functools import lru_cache

from django.template import Context
from django.template.loader import get_template
from django.utils.safestring import SafeString

from shop.pages.links import links

KEPT = 4096  # parts in each process; one has about 1,000 characters


def fragment(context: Context, template: str, **values: Hashable) -> SafeString:
    """Render a template with `values`, the fixed addresses and the language of the page around it."""
    return rendered(template, context["language"], tuple(values.items()))


@lru_cache(maxsize=KEPT)
def rendered(template: str, language: str, values: tuple[tuple[str, Hashable], ...]) -> SafeString:
    """Render it, unless it is kept."""
    context = {**dict(values), "links": links(language), "language": language}
    return SafeString(get_template(template).render(context))
