"""The JSON catalogue for a storefront of its own: read-only, without session; `openapi.json` describes it."""

from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponsePermanentRedirect, JsonResponse
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt

from shop.api_catalogue import load_one, load_page
from shop.models import Product
from shop.pages.render import PUBLIC_CACHE_CONTROL
from shop.paging import BadPaging, Paging
from shop.views.redirects import moved

DOCUMENT = Path(__file__).resolve().parent.parent / "openapi.json"
ERRORS = {
    400: "bad request",
    403: "forbidden",
    404: "not found",
    405: "method not allowed",
    408: "the request took too long",
    413: "the request is too large",
    500: "internal error",
    503: "unavailable for a moment",
}


def error(status: int, detail: str = "") -> JsonResponse:
    """Return an error of the API."""
    response = JsonResponse({"error": {"status": status, "detail": detail or ERRORS[status]}}, status=status)
    response["Cache-Control"] = "no-store"
    return response


def _answer(content: dict[str, Any]) -> JsonResponse:
    response = JsonResponse(content, json_dumps_params={"ensure_ascii": False})
    response["Cache-Control"] = PUBLIC_CACHE_CONTROL
    return response


def _read_only(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Let a view answer GET and HEAD alone; others get the 405 as JSON."""

    @csrf_exempt  # nothing is changed; its refusal is a page of the shop
    @wraps(view)
    def answer(request: HttpRequest, **captured: str) -> HttpResponse:
        if request.method in ("GET", "HEAD"):
            response = view(request, **captured)
        else:
            response = error(405)
            response["Allow"] = "GET, HEAD"
        response["Content-Language"] = "ja, en"
        return response

    return answer


@_read_only
def products(request: HttpRequest) -> HttpResponse:
    """Return a page of the products."""
    try:
        paging = Paging.read(request.GET.dict())
    except BadPaging as wrong:
        return error(400, str(wrong))
    return _answer(load_page(paging))


@_read_only
def product(request: HttpRequest, slug: str) -> HttpResponse:
    """Return a product; one that has another slug now leads there."""
    found = load_one(slug)
    if found is not None:
        return _answer(found)
    try:
        return _moved(request, slug)
    except Http404:
        return error(404)


def _moved(request: HttpRequest, slug: str) -> HttpResponsePermanentRedirect:
    return moved(request, Product, slug, lambda new: reverse("api_product", args=[new]))


@cache
def _document() -> bytes:
    return DOCUMENT.read_bytes()


@_read_only
def document(request: HttpRequest) -> HttpResponse:
    """Return the OpenAPI document."""
    response = HttpResponse(_document(), content_type="application/json")
    response["Cache-Control"] = PUBLIC_CACHE_CONTROL
    return response


@_read_only
def unknown(request: HttpRequest, rest: str) -> HttpResponse:
    """Return the 404 for any other address below /api/."""
    return error(404)
