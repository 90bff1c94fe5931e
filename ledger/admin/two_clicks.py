"""Forms of the admin that were sent twice at the same moment."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.db import IntegrityError
from django.http import HttpRequest


def look_again(view: Callable[..., Any]) -> Callable[..., Any]:
    """Show a form once more when another one's row came between its check and its writing.

    PostgreSQL lets two clicks pass the check for what is unique; the second then meets the first one's row. Its
    transaction is rolled back, and looked at again the form says beside the field what is taken.
    """

    @wraps(view)
    def looking_again(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return view(self, request, *args, **kwargs)
        except IntegrityError:
            for _name, files in request.FILES.lists():
                for file in files:
                    file.seek(0)
            return view(self, request, *args, **kwargs)

    return looking_again
