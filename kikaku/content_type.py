"""Forms are UTF-8: the character set that a request claims is taken away before Django sees it.

Django decodes query and form by it, with whatever codec Python has: `hex` and `zlib` are none for text, `idna` and
`undefined` refuse to replace what they can not read, and all of them raise before Django's own handling of errors begins.
No browser sends another one than the page's.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

BOUNDARY = re.compile(r""";\s*boundary=("[^"]*"|[^;\s"]+)""", re.IGNORECASE)


def plain(content_type: str) -> str:
    """Return the media type, with the boundary of its parts when it has any."""
    media, _, parameters = content_type.partition(";")
    boundary = BOUNDARY.search(f";{parameters}") if media.strip().lower().startswith("multipart/") else None
    return media.strip() + (f"; boundary={boundary[1]}" if boundary else "")


class PlainContentType:
    """A layer around the application: hands it each request with a plain content type."""

    def __init__(self, application: "WSGIApplication") -> None:
        self.application = application

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer as the application does."""
        if ";" in environ.get("CONTENT_TYPE", ""):
            environ["CONTENT_TYPE"] = plain(environ["CONTENT_TYPE"])
        return self.application(environ, start_response)
