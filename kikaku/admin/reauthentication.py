"""Ask who is signed in to prove it once more before something delicate, without losing the form.

`require_proof` raises `ProofRequired`; the middleware around it keeps the posted form in the
session and leads to the page that asks for password or second factor. Back at the form, `posted` returns what
was typed. A project without such a middleware proves nothing: `PROOF_OF_IDENTITY` is then empty.
"""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, QueryDict
from django.utils.module_loading import import_string

HELD_FORM = "held_form"  # in the session: path and body of a form that waits
NOT_HELD = ("csrfmiddlewaretoken", "confirmed", "password", "password1", "password2", "old_password")


class ProofRequired(Exception):
    """The user must prove who he is before this request is carried out."""


def has_proved(request: HttpRequest) -> bool:
    """Return whether the user has proved who he is a short while ago, or need not."""
    path = getattr(settings, "PROOF_OF_IDENTITY", "")
    return not path or bool(import_string(path)(request))


def require_proof(request: HttpRequest) -> None:
    """Raise `ProofRequired` unless the user has proved who he is a short while ago."""
    if not has_proved(request):
        raise ProofRequired


def hold_form(request: HttpRequest) -> None:
    """Keep what was posted, without passwords and confirmations, until the user is back."""
    if request.method == "POST":
        kept = request.POST.copy()
        for name in NOT_HELD:
            kept.pop(name, None)
        request.session[HELD_FORM] = {"path": request.path, "body": kept.urlencode()}


def posted(request: HttpRequest) -> QueryDict | None:
    """Return what the user has sent, or typed before he was asked for proof; None for a new form."""
    if request.method == "POST":
        return request.POST
    held: Any = request.session.get(HELD_FORM)
    if not held or held.get("path") != request.path:
        return None
    del request.session[HELD_FORM]
    return QueryDict(held["body"])
