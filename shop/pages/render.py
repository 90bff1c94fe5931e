"""Rendering of a page of the shop: the context that all pages share, and their headers."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import get_template
from django.utils.cache import add_never_cache_headers
from django.utils.encoding import escape_uri_path
from django.utils.translation import get_language

from shop.pages.links import links
from shop.pages.navigation import Navigation, load_navigation

# Browsers and caches revalidate a page each time: prices change, and a 304 costs almost nothing.
PUBLIC_CACHE_CONTROL = "public, no-cache"


def in_other_language(path: str) -> str:
    """Return the path of the same page in the other language.

    It begins with one slash: a browser takes `//name` and `/\\name` for the address of another site.
    """
    own, other = ("/en/", "/") if path.startswith("/en/") else ("/", "/en/")
    return other + path.removeprefix(own).lstrip("/\\")


def render_page(
    request: HttpRequest,
    template: str,
    context: Mapping[str, Any] | None = None,
    *,
    status: int = 200,
    private: bool = False,
    navigation: Navigation | None = None,
    canonical: str = "",
) -> HttpResponse:
    """Render a page of the shop.

    The template does not get the request, so nothing of the visitor (session, user, CSRF token) can get into
    the page: a public page is the same bytes for every visitor. `private` pages are never stored and never
    indexed. `canonical` is the path and query under which search engines index the page.
    """
    language = get_language() or settings.LANGUAGE_CODE
    base = settings.STOREFRONT_BASE_URL
    canonical = canonical or request.path
    other = in_other_language(canonical)
    japanese, english = (other, canonical) if language == "en" else (canonical, other)
    # the query of a POST is not a page that could be shown in the other language
    current_path = request.get_full_path() if request.method == "GET" else escape_uri_path(request.path)
    text = get_template(template).render(
        {
            "navigation": navigation if navigation is not None else load_navigation(),
            "links": links(language),
            "language": language,
            "base_url": base,
            "canonical": base + canonical,
            "japanese_url": base + japanese,
            "english_url": base + english,
            "other_language_path": in_other_language(current_path),
            "noindex": private or status >= 400,
            **(context or {}),
        }
    )
    response = HttpResponse(text, status=status)
    if private:
        add_never_cache_headers(response)
        response["X-Robots-Tag"] = "noindex, nofollow"
    elif status == 200:
        response["Cache-Control"] = PUBLIC_CACHE_CONTROL
    return response
