"""Not found and broken, in the shop's look."""

from django.http import HttpRequest, HttpResponse


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 404 with a way on."""
    return HttpResponse("not found", status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500."""
    return HttpResponse("error", status=500)
