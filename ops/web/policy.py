"""The Content-Security-Policy of the admin, and 400 for a parameter that the admin leaves unchecked."""

from collections.abc import Callable

from csp.constants import SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.core.exceptions import FieldDoesNotExist
from django.http import HttpRequest, HttpResponse

from ops.web.audit import ADMIN_PATH
from ops.web.errors import bad_request

# unfold writes styles and small scripts into its pages and evaluates its attributes (Alpine.js); the rest of
# the policy stays as the settings have it for the shop
ADMIN_POLICY = {
    "script-src": [SELF, UNSAFE_INLINE, UNSAFE_EVAL],
    "style-src": [SELF, UNSAFE_INLINE],
    "form-action": [SELF],
}


class AdminPolicyMiddleware:
    """Middleware that loosens the policy for admin pages; the shop keeps the strict one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Return the response; on admin pages django-csp reads the policy from its `_csp_replace`."""
        response = self.get_response(request)
        if ADMIN_PATH.match(request.path):
            response._csp_replace = ADMIN_POLICY  # type: ignore[attr-defined]
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Return 400 for a `_to_field` that names no field: Django's admin does not check an empty one."""
        if isinstance(exception, FieldDoesNotExist) and "_to_field" in request.GET:
            return bad_request(request, exception)
        return None
