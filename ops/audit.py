"""Who changed what in the admin, kept apart from the shop's pages."""

import re
from collections.abc import Callable

from auditlog.middleware import AuditlogMiddleware
from django.http import HttpRequest, HttpResponse

ADMIN_PATH = re.compile(r"^/(en/)?admin/")


class AdminAuditMiddleware:
    """Record the signed-in actor, in the admin only: elsewhere asking for the user would touch the session."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.audited = AuditlogMiddleware(get_response)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer through auditlog for admin pages, directly for all others."""
        answer: HttpResponse = (self.audited if ADMIN_PATH.match(request.path) else self.get_response)(
            request
        )
        return answer
