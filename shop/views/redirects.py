"""The redirect after a POST, and that of a page which has another address now."""

from collections.abc import Callable

from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponsePermanentRedirect, HttpResponseRedirect

from shop.renaming import new_slug


class SeeOther(HttpResponseRedirect):
    """A redirect after a POST: the browser requests the next page with GET, so a reload repeats nothing."""

    status_code = 303

    def __init__(self, redirect_to: str) -> None:
        super().__init__(redirect_to)
        self["Cache-Control"] = "no-store, private"


def moved(
    request: HttpRequest, model: type[Model], slug: str, address: Callable[[str], str]
) -> HttpResponsePermanentRedirect:
    """Return the 301 to the page that had a slug before, with the request's query (variant, filters).

    Raises:
        Http404: no page had it.
    """
    current = new_slug(model, slug)
    if current is None or current == slug:
        raise Http404
    query = request.META.get("QUERY_STRING", "")
    response = HttpResponsePermanentRedirect(f"{address(current)}?{query}" if query else address(current))
    response["Cache-Control"] = "public, max-age=3600"  # without it, browsers keep a 301 for good
    return response
