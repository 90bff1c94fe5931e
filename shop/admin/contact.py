"""Messages from the contact form."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from shop.admin.editable import EditableAdmin
from shop.models import ContactMessage


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

    list_display = ("name", "email", "order_number", "received_at", "answered_at")
    list_filter = (AnsweredFilter,)
    search_fields = ("name", "email", "order_number", "message")
    readonly_fields = ("name", "email", "order_number", "message", "received_at", "answered_at")
    actions = ("mark_answered",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: messages come from the contact form."""
        return False

    @admin.action(description=gettext_lazy("Mark as answered"), permissions=["change"])
    def mark_answered(self, request: HttpRequest, found: QuerySet[ContactMessage]) -> None:
        """Mark messages as answered; messages that are answered already keep their time."""
        changed = found.filter(answered_at__isnull=True).update(answered_at=timezone.now())
        text = ngettext("%d message was marked.", "%d messages were marked.", changed)
        self.message_user(request, text % changed, messages.SUCCESS)
