"""Protection against cross-site request forgery by request headers, without a token or a session.

Browsers send `Sec-Fetch-Site` with every request (since 2020–2023) and `Origin` with every POST; a page can
forge neither. A client that sends neither is not a browser: it has no cookies of a customer to abuse.
"""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, cast
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from shop.pages.render import render_page

Arguments = ParamSpec("Arguments")
View = Callable[Concatenate[HttpRequest, Arguments], HttpResponse]


def is_same_origin(request: HttpRequest) -> bool:
    """Return whether a request comes from one of our pages, or from a client that is not a browser."""
    site = request.META.get("HTTP_SEC_FETCH_SITE")
    if site is not None:
        return site in ("same-origin", "none")  # none: the visitor started it, not a page
    origin = request.META.get("HTTP_ORIGIN")
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:  # not an address at all
        return False
    own = {settings.STOREFRONT_BASE_URL, f"{request.scheme}://{request.get_host()}"}
    return f"{parts.scheme}://{parts.netloc}" in own


def is_forged(view: Callable[..., object], request: HttpRequest) -> bool:
    """Return whether a view of `same_origin_only` refuses a request because another site made it."""
    return (
        getattr(view, "same_origin_only", False)
        and request.method not in ("GET", "HEAD", "OPTIONS")
        and not is_same_origin(request)
    )


def same_origin_only(view: View[Arguments]) -> View[Arguments]:
    """Refuse posts from other sites with a 403 page; this replaces Django's CSRF token."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Arguments.args, **kwargs: Arguments.kwargs) -> HttpResponse:
        if is_forged(guarded, request):
            return render_page(request, "shop/errors/403.html", {"foreign": True}, status=403, private=True)
        return view(request, *args, **kwargs)

    guarded.same_origin_only = True  # type: ignore[attr-defined]
    return cast("View[Arguments]", csrf_exempt(guarded))
