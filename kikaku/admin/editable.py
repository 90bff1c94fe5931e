"""The base of admin pages on which staff write."""

from typing import Any

from django.http import HttpRequest
from unfold.admin import ModelAdmin

from kikaku.admin.resubmission import repeat_on_conflict, retry_on_duplicate


class EditableAdmin(ModelAdmin):
    """Rows that staff edit and delete, possibly two of them at the same time."""

    warn_unsaved_form = True  # the browser asks before it leaves a page with changes

    @retry_on_duplicate
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Return the form of a row, or save it."""
        return super().changeform_view(request, *args, **kwargs)

    @repeat_on_conflict
    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Return the question before a row is deleted, or delete it."""
        return super().delete_view(request, *args, **kwargs)
