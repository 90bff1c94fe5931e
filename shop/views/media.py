"""Product pictures from the local disk; with R2 configured they come from there and this address is unused."""

from django.core.exceptions import SuspiciousFileOperation
from django.core.files.storage import FileSystemStorage, storages
from django.http import FileResponse, Http404, HttpRequest
from django.views.decorators.http import require_safe

TYPES = {
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
}
# a drawing may carry scripts: opened by itself it gets a place of its own, where nothing runs and nothing loads
STRICT = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


@require_safe
def media(request: HttpRequest, name: str) -> FileResponse:
    """Send an uploaded picture; storage never gives a name twice, so it may be kept for good."""
    suffix = "." + name.rpartition(".")[2].lower()
    if suffix not in TYPES or not isinstance(storages["default"], FileSystemStorage):
        raise Http404
    try:
        file = storages["default"].open(name)
    except (OSError, SuspiciousFileOperation, ValueError):
        raise Http404 from None
    response = FileResponse(file, content_type=TYPES[suffix])
    response["Cache-Control"] = "public, max-age=31536000, immutable"
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = STRICT
    return response
