"""Base classes of read-only admin pages: changes go through domain functions."""

from typing import Any

from django.contrib.admin.checks import ModelAdminChecks
from django.http import HttpRequest
from django.template.response import TemplateResponse
from unfold.admin import ModelAdmin, TabularInline


class ReadOnlyAdmin(ModelAdmin):
    """Admin whose rows cannot be added, changed or deleted, not even by a superuser."""

    # Django's checks: those of unfold look up permissions in the database, before the first migrate
    checks_class = ModelAdminChecks
    list_per_page = 50
    show_full_result_count = False  # saves one COUNT per list

    class Media:
        css = {"all": ("kikaku/admin.css",)}

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Return the page of a row; the history of edits is linked only where rows can be edited."""
        context = {"show_history": self.has_change_permission(request), **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, context)

    def is_list_page(self, request: HttpRequest) -> bool:
        """Return whether a request is for the list of rows, not for one of them."""
        match, opts = request.resolver_match, self.opts
        return match is not None and match.url_name == f"{opts.app_label}_{opts.model_name}_changelist"

    def confirm(self, request: HttpRequest, *, title: str, question: str, back: str) -> TemplateResponse:
        """Return the confirmation page of an action behind a link: only its posted form acts."""
        context = {"title": title, "question": question, "button": title, "back": back, "opts": self.opts}
        return TemplateResponse(
            request, "kikaku/admin/confirm.html", {**self.admin_site.each_context(request), **context}
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: rows are added by domain functions."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: rows are changed by domain functions."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: the books keep everything."""
        return False


class ReadOnlyInline(TabularInline):
    """Inline whose rows cannot be added, changed or deleted."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False, as `ReadOnlyAdmin` does."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False, as `ReadOnlyAdmin` does."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False, as `ReadOnlyAdmin` does."""
        return False
