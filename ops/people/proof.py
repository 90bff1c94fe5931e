"""Lead to the page that asks for proof of identity before something delicate, or to the second factors."""

from collections.abc import Callable
from urllib.parse import urlencode

from allauth.account.adapter import get_adapter
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from kikaku.admin.reauthentication import ProofRequired, hold_form
from ops.people.second_factor import SecretUnreadable


class ProofMiddleware:
    """Middleware that leads to the page that asks for proof, and keeps the form meanwhile."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Return the response."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Return a redirect to the page that asks for proof, or away from codes that cannot be read."""
        if isinstance(exception, SecretUnreadable):
            messages.error(request, str(exception))
            return HttpResponseRedirect(reverse("mfa_index"))
        if not isinstance(exception, ProofRequired):
            return None
        hold_form(request)
        methods = get_adapter().get_reauthentication_methods(request.user)
        return HttpResponseRedirect(f"{methods[0]['url']}?{urlencode({'next': request.path})}")
