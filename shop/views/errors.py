"""The shop's error pages: 400, 403, 404, 429, 500 and 503."""

from math import ceil

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import get_template
from django.utils.translation import get_language_from_path, override

from shop.pages.links import links
from shop.pages.navigation import Navigation
from shop.pages.render import render_page


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Return the 403 page."""
    return render_page(request, "shop/errors/403.html", status=403, private=True)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Return the 404 page, with a search form."""
    return render_page(request, "shop/errors/404.html", status=404)


def bad_request(request: HttpRequest) -> HttpResponse:
    """Return the 400 page: too many fields, an unknown host, something that no browser sends."""
    return _without_database(request, "shop/errors/400.html", status=400)


def too_many(request: HttpRequest, *, seconds: int) -> HttpResponse:
    """Return the 429 page with the time to wait; without a query, since such requests are many."""
    return _without_database(request, "shop/errors/429.html", status=429, minutes=ceil(seconds / 60))


def server_error(request: HttpRequest) -> HttpResponse:
    """Return the 500 page without a query: the database may be what failed."""
    return _without_database(request, "shop/errors/500.html", status=500, request_id=request_id(request))


def unavailable(request: HttpRequest) -> HttpResponse:
    """Return the 503 page without a query: the database or a disk does not work at the moment."""
    return _without_database(request, "shop/errors/503.html", status=503, request_id=request_id(request))


def request_id(request: HttpRequest) -> str:
    """Return the id by which the log knows a request; "" outside the web server."""
    return str(request.META.get("kikaku.request_id", ""))


def refusal(status: int, language: str) -> str:
    """Return the page for a request that never reached a view: broken off, too slow or too large."""
    return _page(f"shop/errors/{status}.html", language)


def _without_database(request: HttpRequest, template: str, *, status: int, **context: object) -> HttpResponse:
    # the path decides: the error may have come before the request's language was made the active one
    language = get_language_from_path(request.path_info) or settings.LANGUAGE_CODE
    response = HttpResponse(_page(template, language, **context), status=status)
    response["Cache-Control"] = "no-store"
    return response


def _page(template: str, language: str, **context: object) -> str:
    """Return a page of the shop that needs no query."""
    with override(language):
        text: str = get_template(template).render(
            {
                "navigation": Navigation((), ()),
                "links": links(language),
                "language": language,
                "noindex": True,
                **context,
            }
        )
    return text
