"""The shop's error pages: 403, 404, 429 and 500."""

from math import ceil

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import get_template
from django.utils.translation import get_language

from shop.pages.links import links
from shop.pages.navigation import Navigation
from shop.pages.render import render_page


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Return the 403 page."""
    return render_page(request, "shop/errors/403.html", status=403, private=True)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Return the 404 page, with a search form."""
    return render_page(request, "shop/errors/404.html", status=404)


def too_many(request: HttpRequest, *, seconds: int) -> HttpResponse:
    """Return the 429 page with the time to wait; without a query, since such requests are many."""
    return _without_database("shop/errors/429.html", {"minutes": ceil(seconds / 60)}, status=429)


def server_error(request: HttpRequest) -> HttpResponse:
    """Return the 500 page without a query: the database may be what failed."""
    return _without_database("shop/errors/500.html", {}, status=500)


def _without_database(template: str, context: dict[str, object], *, status: int) -> HttpResponse:
    language = get_language() or settings.LANGUAGE_CODE
    body = get_template(template).render(
        {
            "navigation": Navigation((), ()),
            "links": links(language),
            "language": language,
            "noindex": True,
            **context,
        }
    )
    response = HttpResponse(body, status=status)
    response["Cache-Control"] = "no-store"
    return response
