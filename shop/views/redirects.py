"""Sending a visitor on after a post."""

from django.http import HttpResponseRedirect
from django.utils.cache import add_never_cache_headers


class SeeOther(HttpResponseRedirect):
    """Send on after a POST: the browser asks for the next page with GET, and a reload repeats nothing."""

    status_code = 303

    def __init__(self, redirect_to: str) -> None:
        super().__init__(redirect_to)
        add_never_cache_headers(self)
