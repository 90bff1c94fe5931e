"""Not allowed, not found and broken, in the shop's look."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import get_template
from django.utils.translation import get_language

from shop.layout import Navigation, links, render_page


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Answer 403 with what to do."""
    return render_page(request, "shop/errors/403.html", status=403, private=True)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 404 with a way on."""
    return render_page(request, "shop/errors/404.html", status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500 without touching the database, which may be what broke."""
    language = get_language() or settings.LANGUAGE_CODE
    body = get_template("shop/errors/500.html").render(
        {
            "navigation": Navigation((), ()),
            "links": links(language),
            "language": language,
            "noindex": True,
        }
    )
    response = HttpResponse(body, status=500)
    response["Cache-Control"] = "no-store"
    return response
