"""The admin's own Content-Security-Policy."""

from collections.abc import Callable

from csp.constants import SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.http import HttpRequest, HttpResponse

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
