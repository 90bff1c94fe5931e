"""The admin's own Content-Security-Policy, and its answer to addresses that nobody writes by mistake."""

from collections.abc import Callable

from csp.constants import SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.core.exceptions import FieldDoesNotExist
from django.http import HttpRequest, HttpResponse
from django.views.defaults import bad_request

from ops.audit import ADMIN_PATH

# unfold writes styles and small scripts into its pages and evaluates its attributes (Alpine.js); the rest of the
# policy stays as the settings have it for the shop
ADMIN_POLICY = {
    "script-src": [SELF, UNSAFE_INLINE, UNSAFE_EVAL],
    "style-src": [SELF, UNSAFE_INLINE],
    "form-action": [SELF],
}


class AdminPolicyMiddleware:
    """Loosen the policy for admin pages alone; the shop keeps the strict one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Leave the admin's policy on the answer, where django-csp looks for it."""
        answer = self.get_response(request)
        if ADMIN_PATH.match(request.path):
            answer._csp_replace = ADMIN_POLICY  # type: ignore[attr-defined]
        return answer

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer 400 to a `_to_field` that is no field: Django's admin checks it, but not an empty one."""
        if isinstance(exception, FieldDoesNotExist) and "_to_field" in request.GET:
            return bad_request(request, exception)
        return None
