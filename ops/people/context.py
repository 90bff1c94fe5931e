"""What the templates around the sign-in need of the admin."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest


def account_context(request: HttpRequest) -> dict[str, Any]:
    """Return what the admin's look needs, on the pages around the sign-in; nothing elsewhere."""
    match = request.resolver_match
    return admin.site.each_context(request) if match and match.route.find("admin/account/") >= 0 else {}
