"""Decorators for admin forms that are sent twice, or by two people, at the same moment."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.messages.storage import default_storage
from django.db import IntegrityError
from django.http import HttpRequest

from kikaku.transactions import retry_on_conflict


def repeat_on_conflict(view: Callable[..., Any]) -> Callable[..., Any]:
    """Repeat a view after a conflict with another writer, without messages of the rolled-back try."""

    @wraps(view)
    @retry_on_conflict
    def repeated(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if request.method == "POST":
            _rewind(request)
            # new messages, as the middleware of Django creates them
            request._messages = default_storage(request)  # type: ignore[attr-defined]
        return view(self, request, *args, **kwargs)

    return repeated


def retry_on_duplicate(view: Callable[..., Any]) -> Callable[..., Any]:
    """Repeat a view once if its row violates a unique constraint, so that the form shows the error.

    On PostgreSQL two requests may both pass the form's check for uniqueness; the second then fails on the row
    of the first. Its transaction is rolled back, and the repeated check finds the duplicate.
    """

    @repeat_on_conflict
    @wraps(view)
    def retried(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return view(self, request, *args, **kwargs)
        except IntegrityError:
            _rewind(request)
            return view(self, request, *args, **kwargs)

    return retried


def _rewind(request: HttpRequest) -> None:
    """Move the files of a form back to their start, to be read again."""
    for _name, files in request.FILES.lists():
        for file in files:
            file.seek(0)
