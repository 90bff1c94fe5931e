"""Who may post: forms of our own pages, told by what browsers say themselves, without a token or a session.

Browsers send `Sec-Fetch-Site` with every request since 2020–2023, and `Origin` with every POST; a page can forge
neither. What sends neither is no browser, carries nobody's cookies and so can do no harm in somebody's name.
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


def is_own(request: HttpRequest) -> bool:
    """Say whether a request comes from a page of ours (or from no browser at all)."""
    site = request.META.get("HTTP_SEC_FETCH_SITE")
    if site is not None:
        return site in ("same-origin", "none")  # none: the visitor repeated it, no other page did
    origin = request.META.get("HTTP_ORIGIN")
    if origin is None:
        return True
    own = {settings.STOREFRONT_BASE_URL, f"{request.scheme}://{request.get_host()}"}
    parts = urlsplit(origin)
    return f"{parts.scheme}://{parts.netloc}" in own


def own_pages_only(view: View[Arguments]) -> View[Arguments]:
    """Answer posts from other sites with a page that says what to do; this replaces Django's CSRF token."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Arguments.args, **kwargs: Arguments.kwargs) -> HttpResponse:
        if request.method not in ("GET", "HEAD", "OPTIONS") and not is_own(request):
            return render_page(request, "shop/errors/403.html", {"foreign": True}, status=403, private=True)
        return view(request, *args, **kwargs)

    return cast("View[Arguments]", csrf_exempt(guarded))
