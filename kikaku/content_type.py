"""Removal of the character set that a request declares, before Django sees it: forms are UTF-8.

Django decodes query and form with any codec of Python by that name. `hex` and `zlib` do not decode text,
`idna` and `undefined` fail instead of replacing invalid bytes, and all of them raise before Django's error
handling begins. Browsers send the character set of the page.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

BOUNDARY = re.compile(r""";\s*boundary=("[^"]*"|[^;\s"]+)""", re.IGNORECASE)


def plain_content_type(content_type: str) -> str:
    """Return a content type without its parameters, except for the boundary of a multipart form."""
    media, _, parameters = content_type.partition(";")
    boundary = BOUNDARY.search(f";{parameters}") if media.strip().lower().startswith("multipart/") else None
    return media.strip() + (f"; boundary={boundary[1]}" if boundary else "")


class PlainContentType:
    """WSGI layer that gives each request a plain content type."""

    def __init__(self, application: "WSGIApplication") -> None:
        self.application = application

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Return the application's response."""
        if ";" in environ.get("CONTENT_TYPE", ""):
            environ["CONTENT_TYPE"] = plain_content_type(environ["CONTENT_TYPE"])
        return self.application(environ, start_response)
