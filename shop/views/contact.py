"""The contact form: stored for the staff; a trap for robots instead of a riddle for people."""

import re
import secrets
from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_safe

from kikaku.transactions import unit_of_work
from shop.forms import TypedEmailField, TypedField, TypedForm, TypedTextField
from shop.models import ContactMessage
from shop.pages.links import active_links
from shop.pages.render import render_page
from shop.views.origin import own_pages_only
from shop.views.redirects import SeeOther

NONCE = re.compile(r"[A-Za-z0-9_-]{20,64}")


class ContactForm(TypedForm):
    """What a visitor writes."""

    name = TypedField(
        label=_("Name"), max_length=100, error_messages={"required": _("Please enter your name.")}
    )
    email = TypedEmailField(label=_("E-mail"), max_length=254)
    order_number = TypedField(label=_("Order number"), max_length=20, required=False)
    message = TypedTextField(
        label=_("Message"), max_length=5000, error_messages={"required": _("Please write your message.")}
    )

    HINTS: ClassVar = {
        "name": ("name", "text", ""),
        "email": ("email", "email", ""),
        "order_number": ("off", "text", ""),
        "message": ("off", "text", ""),
    }


@own_pages_only
@require_http_methods(["GET", "HEAD", "POST"])
def contact(request: HttpRequest) -> HttpResponse:
    """Take a message; the nonce of the form makes two clicks one message."""
    if request.method != "POST":
        number = request.GET.get("order", "")[:20]
        return show(request, ContactForm(initial={"order_number": number}), secrets.token_urlsafe(24))
    form = ContactForm(request.POST)
    nonce = request.POST.get("nonce", "")
    if not NONCE.fullmatch(nonce):
        nonce = secrets.token_urlsafe(24)
    if not form.is_valid():
        return show(request, form, nonce, status=422)
    if not request.POST.get("website"):  # people do not see this field: who fills it in is a robot
        keep(nonce, {**form.cleaned_data, "received_at": timezone.now()})
    return SeeOther(f"{active_links()['contact']}sent/")


@unit_of_work
def keep(nonce: str, values: dict[str, Any]) -> None:
    """Store a message, once."""
    ContactMessage.objects.get_or_create(nonce=nonce, defaults=values)


def show(request: HttpRequest, form: ContactForm, nonce: str, *, status: int = 200) -> HttpResponse:
    """Render the form."""
    return render_page(
        request,
        "shop/contact.html",
        {"form": form, "nonce": nonce, "noindex": False},
        status=status,
        private=True,
    )


@require_safe
def sent(request: HttpRequest) -> HttpResponse:
    """Say that the message arrived."""
    return render_page(request, "shop/contact_sent.html", {"noindex": True})
