"""Render a page of the shop: what all pages share, and their headers."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import get_template
from django.utils.cache import add_never_cache_headers
from django.utils.translation import get_language

from shop.pages.links import links
from shop.pages.navigation import Navigation, load_navigation

# a browser or a cache asks each time whether its page is still the same: prices move, and a 304 costs next to nothing
PUBLIC_CACHE_CONTROL = "public, no-cache"


def in_other_language(path: str) -> str:
    """Return the address of the same page in the other language."""
    return path.removeprefix("/en") if path.startswith("/en/") else f"/en{path}"


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

    A page is rendered without the request, so that nothing of the visitor (session, user, CSRF token) can reach
    it: a public page is the same bytes for everybody. `private` pages are never stored and never indexed.
    `canonical` is the path and query under which search engines shall know the page.
    """
    language = get_language() or settings.LANGUAGE_CODE
    base = settings.STOREFRONT_BASE_URL
    canonical = canonical or request.path
    other = in_other_language(canonical)
    japanese, english = (other, canonical) if language == "en" else (canonical, other)
    # a page that answers a POST has no address of its own to be shown again in the other language
    here_path = request.get_full_path() if request.method == "GET" else request.path
    text = get_template(template).render(
        {
            "navigation": navigation if navigation is not None else load_navigation(),
            "links": links(language),
            "language": language,
            "base_url": base,
            "canonical": base + canonical,
            "japanese_url": base + japanese,
            "english_url": base + english,
            "other_language_path": in_other_language(here_path),
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
