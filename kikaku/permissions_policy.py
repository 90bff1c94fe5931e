"""The Permissions-Policy header: what no page of ours and no frame in it may use of the browser."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse


class PermissionsPolicyMiddleware:
    """Middleware that adds the header to every response, static files included."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.policy = ", ".join(f"{feature}=()" for feature in settings.DENIED_BROWSER_FEATURES)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Return the response with the header."""
        response = self.get_response(request)
        response["Permissions-Policy"] = self.policy
        return response
