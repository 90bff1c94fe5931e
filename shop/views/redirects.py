"""The redirect after a POST."""

from django.http import HttpResponseRedirect


class SeeOther(HttpResponseRedirect):
    """A redirect after a POST: the browser requests the next page with GET, so a reload repeats nothing."""

    status_code = 303

    def __init__(self, redirect_to: str) -> None:
        super().__init__(redirect_to)
        self["Cache-Control"] = "no-store, private"
