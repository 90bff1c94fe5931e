"""The error pages that `kikaku.urls` names: in the shop's look, and below /admin/ in the admin's."""

import errno
import math
import sys
from collections.abc import Iterator
from functools import cache

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied, TooManyFieldsSent
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import get_template
from django.utils.cache import add_never_cache_headers
from django.utils.translation import get_language_from_path, override
from django.utils.translation import gettext_lazy as _

from ops.web.audit import ADMIN_PATH
from shop.views import api, errors

RETRY_SECONDS = 30  # told to a client when a database or disk does not work
API_PATH = "/api/"
MACHINE_PATHS = ("/webhooks/", "/health", "/metrics")
PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EHOSTUNREACH)  # a full disk; R2 does not answer

# status → title, text
ADMIN_TEXTS = {
    400: (_("The request was not understood"), _("It was incomplete or too large. Nothing was changed.")),
    403: (_("You may not do this"), _("Your account has no right to do this. Nothing was changed.")),
    404: (_("No such page"), _("The address is wrong, or what it showed no longer exists.")),
    408: (_("Sending took too long"), _("It did not arrive completely. Nothing was changed.")),
    413: (_("Too large"), _("What you sent is too large. Nothing was changed.")),
    500: (_("Something failed"), _("The log has the reason. Nothing was stored unless a page says so.")),
    503: (
        _("Out of order for a moment"),
        _("The database or a disk does not answer or is full. Please try again in a minute."),
    ),
}
FORGED_TEXT = _("The form was too old or came from another site. Please reload its page and try again.")


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Return the 400 page."""
    if in_api(request):
        return api.error(400)
    return _admin_page(request, 400) if in_admin(request) else errors.bad_request(request)


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Return the 403 page."""
    return _admin_page(request, 403) if in_admin(request) else errors.forbidden(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Return the 404 page."""
    if in_api(request):
        return api.error(404)
    return _admin_page(request, 404) if in_admin(request) else errors.not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Return the 500 page, or the 503 page for an error that will pass."""
    if not is_passing(sys.exception()):
        if in_api(request):
            return api.error(500)
        return _admin_page(request, 500) if in_admin(request) else errors.server_error(request)
    if in_api(request):
        response: HttpResponse = api.error(503)
    else:
        response = _admin_page(request, 503) if in_admin(request) else errors.unavailable(request)
    response["Retry-After"] = str(RETRY_SECONDS)
    return response


def forged(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Return the page for a form without the right CSRF token (`CSRF_FAILURE_VIEW`)."""
    if in_admin(request):
        return _admin_page(request, 403, text=FORGED_TEXT)
    return errors.forbidden(request, PermissionDenied(reason))


def too_many_logins(request: HttpRequest, *, seconds: int) -> HttpResponse:
    """Return the 429 page of the sign-in."""
    return _plain(request, "ops/too_many.html", 429, minutes=math.ceil(seconds / 60))


@cache
def _refusal_page(status: int, language: str, *, of_admin: bool) -> bytes:
    if not of_admin:
        return errors.refusal(status, language).encode()
    title, text = ADMIN_TEXTS[status]
    return _plain_text("ops/plain_error.html", language, title=title, text=text).encode()


def refusal_page(status: int, path: str) -> bytes:
    """Return the page for a request that the front door refuses: JSON for the API, nothing for a machine."""
    if path.startswith(API_PATH):
        return api.error(status).content
    if path.startswith(MACHINE_PATHS):
        return b""
    language = get_language_from_path(path) or settings.LANGUAGE_CODE
    return _refusal_page(status, language, of_admin=ADMIN_PATH.match(path) is not None)


def in_admin(request: HttpRequest) -> bool:
    """Return whether a request is for the admin."""
    return ADMIN_PATH.match(request.path) is not None


def in_api(request: HttpRequest) -> bool:
    """Return whether a request is for the JSON catalogue."""
    return request.path.startswith(API_PATH)


def is_passing(error: BaseException | None) -> bool:
    """Return whether an error will pass: database or R2 is away, locked or full, or a disk is full."""
    return any(
        isinstance(one, OperationalError | InterfaceError)
        or (isinstance(one, OSError) and one.errno in PASSING)
        for one in _with_causes(error)
    )


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _admin_page(request: HttpRequest, status: int, *, text: object = "") -> HttpResponse:
    """Return an error page with the admin's menu for signed-in staff; else a plain one without a query."""
    title, usual = ADMIN_TEXTS[status]
    context = {"title": title, "text": text or usual}
    if status >= 500:
        context["request_id"] = errors.request_id(request)
    user = getattr(request, "user", None) if status in (403, 404) and _has_readable_query(request) else None
    if user is None or not (user.is_active and user.is_staff):
        return _plain(request, "ops/plain_error.html", status, **context)
    body = get_template("ops/error.html").render({**admin.site.each_context(request), **context}, request)
    return _response(body, status)


def _has_readable_query(request: HttpRequest) -> bool:
    """Return whether Django takes the query: the admin's menu looks into it."""
    try:
        return request.GET is not None
    except TooManyFieldsSent:
        return False


def _plain(request: HttpRequest, template: str, status: int, **context: object) -> HttpResponse:
    # the path decides: the error may have come before the request's language was made the active one
    language = get_language_from_path(request.path_info) or settings.LANGUAGE_CODE
    return _response(_plain_text(template, language, **context), status)


def _plain_text(template: str, language: str, **context: object) -> str:
    with override(language):
        text: str = get_template(template).render({"language": language, **context})
    return text


def _response(body: str, status: int) -> HttpResponse:
    response = HttpResponse(body, status=status)
    add_never_cache_headers(response)
    return response
