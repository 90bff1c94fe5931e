"""The contact form: messages are stored for staff; a hidden field catches robots instead of a captcha."""

import re
import secrets
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.timezone import localtime
from django.utils.translation import get_language, override
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_safe

from kikaku.transactions import unit_of_work
from ledger.models import Order, OutgoingMail
from ledger.sales import mail
from shop.forms import CHECK, NONCE_PATTERN, LineField, MultilineField, NormalisedEmailField, ShopForm
from shop.models import ContactMessage, Product
from shop.pages.links import active_links
from shop.pages.render import render_page
from shop.sessions import renew_session
from shop.templatetags.shop import format_time
from shop.views.origin import same_origin_only
from shop.views.redirects import SeeOther

DAILY_MAILS = 3  # confirmations to one address within a day
SLUG_PATTERN = re.compile(r"[-a-zA-Z0-9_]{1,100}")
TYPED_KEY = "contact_typed"  # session key: the typed values of a message that was refused


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
    typed = request.POST if request.method == "POST" else request.GET
    product = find_product(typed.get("product", ""))
    if request.method != "POST":
        kept = request.session.get(TYPED_KEY) if CHECK in request.GET else None
        initial = {"order_number": typed.get("order", "")[:20]}
        form = ContactForm(kept) if kept else ContactForm(initial=initial)
        nonce = kept["nonce"] if kept else secrets.token_urlsafe(24)
        return render_form(request, form, nonce, product)
    form = ContactForm(request.POST)
    nonce = request.POST.get("nonce", "")
    if not NONCE_PATTERN.fullmatch(nonce):
        nonce = secrets.token_urlsafe(24)
    if not form.is_valid():
        renew_session(request)
        kept = {name: request.POST.get(name, "")[:6000] for name in form.fields}
        request.session[TYPED_KEY] = kept | {"nonce": nonce}
        about = {"product": product.slug} if product else {}
        return SeeOther(f"{active_links()['contact']}?{urlencode({CHECK: 1, **about})}")
    if not request.POST.get("website"):  # a hidden field: only robots fill it in
        language = "en" if get_language() == "en" else "ja"
        values = {**form.cleaned_data, "product": product, "language": language}
        store_message(nonce, values, now=timezone.now())
    if TYPED_KEY in request.session:
        del request.session[TYPED_KEY]
    return SeeOther(f"{active_links()['contact']}sent/")


def find_product(slug: str) -> Product | None:
    """Return the product that a link or form names, on sale or not any more."""
    return Product.objects.filter(slug=slug).first() if SLUG_PATTERN.fullmatch(slug) else None


@unit_of_work
def store_message(nonce: str, values: dict[str, Any], *, now: datetime) -> None:
    """Store a message once for each nonce, and the mail that confirms it."""
    message, created = ContactMessage.objects.get_or_create(
        nonce=nonce, defaults={**values, "received_at": now}
    )
    if created:
        acknowledge(message, now=now)


def acknowledge(message: ContactMessage, *, now: datetime) -> None:
    """Queue the mail that confirms a message; for one address only a few a day.

    Anybody can type anybody's address, so the mail repeats nothing that was typed: an order's number is shown
    only if there is such an order.
    """
    kind = OutgoingMail.Kind.MESSAGE_RECEIVED
    since = now - timedelta(days=1)
    confirmed = OutgoingMail.objects.filter(kind=kind, to__iexact=message.email, created_at__gt=since)
    if confirmed.count() >= DAILY_MAILS:
        return
    order = Order.objects.filter(number=message.order_number.upper()).first()
    with override(message.language):
        context = {
            "received": format_time(localtime(message.received_at)),
            "product": message.product.title if message.product else "",
            "order_number": order.number if order else "",
        }
    to, source = message.email, f"message:{message.pk}"
    mail.queue_without_order(kind, to, message.language, source, context, unsolicited=True, now=now)


def render_form(request: HttpRequest, form: ContactForm, nonce: str, product: Product | None) -> HttpResponse:
    """Return the page with the form, which carries the product that it is about."""
    context = {"form": form, "nonce": nonce, "product": product, "noindex": False}
    return render_page(request, "shop/contact.html", context, private=True)


@require_safe
def sent(request: HttpRequest) -> HttpResponse:
    """Confirm that the message was received."""
    return render_page(request, "shop/contact_sent.html", {"noindex": True})
