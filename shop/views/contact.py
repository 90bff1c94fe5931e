"""The contact form: messages are stored for staff; a hidden field catches robots instead of a captcha."""

import re
import secrets
from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_safe

from kikaku.transactions import unit_of_work
from shop.forms import LineField, MultilineField, NormalisedEmailField, ShopForm
from shop.models import ContactMessage
from shop.pages.links import active_links
from shop.pages.render import render_page
from shop.views.origin import same_origin_only
from shop.views.redirects import SeeOther

NONCE_PATTERN = re.compile(r"[A-Za-z0-9_-]{20,64}")


class ContactForm(ShopForm):
    """A message to the shop."""

    name = LineField(
        label=_("Name"), max_length=100, error_messages={"required": _("Please enter your name.")}
    )
    email = NormalisedEmailField(label=_("E-mail"), max_length=254)
    order_number = LineField(label=_("Order number"), max_length=20, required=False)
    message = MultilineField(
        label=_("Message"), max_length=5000, error_messages={"required": _("Please write your message.")}
    )

    FIELD_HINTS: ClassVar = {
        "name": ("name", "text", ""),
        "email": ("email", "email", ""),
        "order_number": ("off", "text", ""),
        "message": ("off", "text", ""),
    }


@same_origin_only
@require_http_methods(["GET", "HEAD", "POST"])
def contact(request: HttpRequest) -> HttpResponse:
    """Show the form or store its message; by the form's nonce two clicks are one message."""
    if request.method != "POST":
        number = request.GET.get("order", "")[:20]
        return render_form(request, ContactForm(initial={"order_number": number}), secrets.token_urlsafe(24))
    form = ContactForm(request.POST)
    nonce = request.POST.get("nonce", "")
    if not NONCE_PATTERN.fullmatch(nonce):
        nonce = secrets.token_urlsafe(24)
    if not form.is_valid():
        return render_form(request, form, nonce, status=422)
    if not request.POST.get("website"):  # a hidden field: only robots fill it in
        store_message(nonce, {**form.cleaned_data, "received_at": timezone.now()})
    return SeeOther(f"{active_links()['contact']}sent/")


@unit_of_work
def store_message(nonce: str, values: dict[str, Any]) -> None:
    """Store a message once for each nonce."""
    ContactMessage.objects.get_or_create(nonce=nonce, defaults=values)


def render_form(request: HttpRequest, form: ContactForm, nonce: str, *, status: int = 200) -> HttpResponse:
    """Return the page with the form."""
    return render_page(
        request,
        "shop/contact.html",
        {"form": form, "nonce": nonce, "noindex": False},
        status=status,
        private=True,
    )


@require_safe
def sent(request: HttpRequest) -> HttpResponse:
    """Confirm that the message was received."""
    return render_page(request, "shop/contact_sent.html", {"noindex": True})
