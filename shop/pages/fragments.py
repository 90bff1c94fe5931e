"""Parts of pages that are rendered once and kept: a part depends on its language and its values alone.

A page is rendered again after every price change, and most of it is unchanged: the footer, the
specifications, the cards of other products. Such a part is a template of its own, a fragment. It sees only
the values that it is given. These are immutable, and the rendered text is kept under them, so it cannot be
outdated.
"""

from collections.abc import Hashable
from functools import lru_cache

from django.template import Context
from django.template.loader import get_template
from django.utils.safestring import SafeString

from shop.pages.links import links

MAX_FRAGMENTS = 4096  # in each process; a rendered fragment has about 1,000 characters


def fragment(context: Context, template: str, **values: Hashable) -> SafeString:
    """Render a fragment with `values`, the fixed links and the language of the page around it."""
    return render_cached(template, context["language"], tuple(values.items()))


@lru_cache(maxsize=MAX_FRAGMENTS)
def render_cached(template: str, language: str, values: tuple[tuple[str, Hashable], ...]) -> SafeString:
    """Return a rendered fragment; it is rendered only the first time."""
    context = {**dict(values), "links": links(language), "language": language}
    return SafeString(get_template(template).render(context))
