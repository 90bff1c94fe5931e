"""Forms of the admin that were sent twice, or by two people, at the same moment."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.messages.storage import default_storage
from django.db import IntegrityError
from django.http import HttpRequest

from kikaku.transactions import retry_on_conflict


def repeat_on_conflict(view: Callable[..., Any]) -> Callable[..., Any]:
    """Answer a form anew when another writer was quicker; nothing of the first answer was saved, nor is it told."""

    @wraps(view)
    @retry_on_conflict
    def repeated(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if request.method == "POST":
            _rewind(request)
            # as the middleware does
            request._messages = default_storage(request)  # type: ignore[attr-defined]
        return view(self, request, *args, **kwargs)

    return repeated


def look_again(view: Callable[..., Any]) -> Callable[..., Any]:
    """Show a form once more when another one's row came between its check and its writing.

    PostgreSQL lets two clicks pass the check for what is unique; the second then meets the first one's row.
    Its transaction is rolled back, and looked at again the form says beside the field what is taken.
    """

    @repeat_on_conflict
    @wraps(view)
    def looking_again(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return view(self, request, *args, **kwargs)
        except IntegrityError:
            _rewind(request)
            return view(self, request, *args, **kwargs)

    return looking_again


def _rewind(request: HttpRequest) -> None:
    """Let the files of a form be read again."""
    for _name, files in request.FILES.lists():
        for file in files:
            file.seek(0)
