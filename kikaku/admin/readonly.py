"""The base of the ledger's admin: one may look; what changes goes through domain functions."""

from typing import Any

from django.contrib.admin.checks import ModelAdminChecks
from django.http import HttpRequest
from django.template.response import TemplateResponse
from unfold.admin import ModelAdmin, TabularInline


class ReadOnlyAdmin(ModelAdmin):
    """Show rows; nobody adds, changes or deletes them here, the superuser neither."""

    # Django's own checks: unfold's look up permissions in the database, which is not there before the first
    # migrate
    checks_class = ModelAdminChecks
    list_per_page = 50
    show_full_result_count = False  # one count less per list

    class Media:
        css = {"all": ("ledger/admin.css",)}

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show the row; a history of edits is offered only where something can be edited."""
        context = {"show_history": self.has_change_permission(request), **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, context)

    def confirm(self, request: HttpRequest, *, title: str, question: str, back: str) -> TemplateResponse:
        """Ask before an action that is reached by a link: only the posted form acts."""
        context = {"title": title, "question": question, "button": title, "back": back, "opts": self.opts}
        return TemplateResponse(
            request, "ledger/admin/confirm.html", {**self.admin_site.each_context(request), **context}
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: rows come from domain functions."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: rows change through domain functions."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: the books forget nothing."""
        return False


class ReadOnlyInline(TabularInline):
    """Show rows that belong to the row above."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse, as above."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse, as above."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse, as above."""
        return False
