"""Messages from the contact form."""

from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Upper
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext, gettext_lazy, ngettext, override
from django.utils.translation import gettext as _

from kikaku.admin.columns import LINK_CLASSES, format_local_time
from kikaku.admin.editable import EditableAdmin
from kikaku.transactions import unit_of_work
from ledger.models import Order
from shop.models import ContactMessage

MAX_QUOTED = 600  # characters of a message that a reply quotes: mail programs take about 2,000 of a link


class AnsweredFilter(admin.SimpleListFilter):
    """Filter of open and answered messages."""

    title = gettext_lazy("answered")
    parameter_name = "answered"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the two states."""
        return [("no", _("open")), ("yes", _("answered"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the messages in the chosen state."""
        if self.value() in ("yes", "no"):
            return queryset.filter(answered_at__isnull=self.value() == "no")
        return queryset


@admin.register(ContactMessage)
class ContactMessageAdmin(EditableAdmin):
    """Messages are read and marked as answered, never changed."""

    list_display = (
        "name",
        "email",
        "order_link",
        "product",
        "received",
        "answered",
    )
    list_select_related = ("product",)
    list_filter = (AnsweredFilter,)
    search_fields = ("name", "email", "order_number", "message")
    fields = ("name", "reply", "order_link", "product", "text", "received", "answered")
    readonly_fields = fields
    actions = ("mark_answered",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ContactMessage]:
        """Return the messages, each with the id of the order that it names."""
        found: QuerySet[ContactMessage] = super().get_queryset(request)
        named = Order.objects.filter(number=Upper(OuterRef("order_number")))
        return found.annotate(named_order=Subquery(named.values("pk")[:1]))

    @admin.display(description=gettext_lazy("e-mail"))
    def reply(self, message: ContactMessage) -> str:
        """Return the address as a link that opens the answer, with the message quoted."""
        with override(message.language):
            subject = gettext("Re: your message to LED Kikaku")
        quoted = "".join(f"> {line}\n" for line in message.message[:MAX_QUOTED].splitlines())
        link = urlencode({"subject": subject, "body": f"\n\n{quoted}"}, quote_via=quote)
        return format_html(
            '<a class="{}" href="mailto:{}?{}">{}</a>',
            LINK_CLASSES,
            quote(message.email),
            link,
            message.email,
        )

    @admin.display(description=gettext_lazy("order number"), ordering="order_number")
    def order_link(self, message: Any) -> str:
        """Return the typed number, as a link if there is such an order."""
        if message.named_order is None:
            return message.order_number or "–"
        page = reverse("admin:ledger_order_change", args=[message.named_order])
        return format_html('<a class="{}" href="{}">{}</a>', LINK_CLASSES, page, message.order_number)

    @admin.display(description=gettext_lazy("received at"), ordering="received_at")
    def received(self, message: ContactMessage) -> str:
        """Return when the message came."""
        return format_local_time(message.received_at)

    @admin.display(description=gettext_lazy("answered at"), ordering="answered_at")
    def answered(self, message: ContactMessage) -> str:
        """Return when the message was marked as answered."""
        return format_local_time(message.answered_at)

    @admin.display(description=gettext_lazy("message"))
    def text(self, message: ContactMessage) -> str:
        """Return the message with its line breaks."""
        return format_html(
            '<div style="white-space:pre-wrap;overflow-wrap:anywhere">{}</div>', message.message
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: messages come from the contact form."""
        return False

    @admin.action(description=gettext_lazy("Mark as answered"), permissions=["change"])
    def mark_answered(self, request: HttpRequest, found: QuerySet[ContactMessage]) -> None:
        """Mark messages as answered; messages that are answered already keep their time."""
        changed = _mark_answered(found, now=timezone.now())
        text = ngettext("%d message was marked.", "%d messages were marked.", changed)
        self.message_user(request, text % changed, messages.SUCCESS)


@unit_of_work
def _mark_answered(found: QuerySet[ContactMessage], *, now: datetime) -> int:
    """Mark those that are not answered, one by one for the audit log, and return how many."""
    waiting = list(found.filter(answered_at__isnull=True))
    for message in waiting:
        message.answered_at = now
        message.save(update_fields=["answered_at"])
    return len(waiting)
