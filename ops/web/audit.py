"""Audit of changes in the admin: who changed what. The shop's pages are left out."""

import re
from collections.abc import Callable

from auditlog.middleware import AuditlogMiddleware
from django.http import HttpRequest, HttpResponse

ADMIN_PATH = re.compile(r"^/(en/)?admin/")


class AdminAuditMiddleware:
    """Middleware that records the signed-in actor; in the admin only, as reading it touches the session."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.get_audited_response = AuditlogMiddleware(get_response)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Return the response, through auditlog for admin pages and directly for all others."""
        in_admin = ADMIN_PATH.match(request.path)
        response: HttpResponse = (self.get_audited_response if in_admin else self.get_response)(request)
        return response
