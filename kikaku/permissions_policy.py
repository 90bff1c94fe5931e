"""The Permissions-Policy header: what no page of ours and no frame in it may use of the browser."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

# none of our pages uses one of them; payment is made on Stripe's pages
DENIED_FEATURES = (
    "accelerometer",
    "camera",
    "display-capture",
    "geolocation",
    "gyroscope",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "usb",
)
POLICY = ", ".join(f"{feature}=()" for feature in DENIED_FEATURES)


class PermissionsPolicyMiddleware:
    """Middleware that adds the header to every response, static files included."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Return the response with the header."""
        response = self.get_response(request)
        response["Permissions-Policy"] = POLICY
        return response
