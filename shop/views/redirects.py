"""Sending a visitor on after a post."""

from django.http import HttpResponseRedirect


class SeeOther(HttpResponseRedirect):
    """Send on after a POST: the browser asks for the next page with GET, and a reload repeats nothing."""

    status_code = 303

    def __init__(self, redirect_to: str) -> None:
        super().__init__(redirect_to)
        self["Cache-Control"] = "no-store, private"
