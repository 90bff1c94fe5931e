"""Product pictures from the local disk; with R2 configured, pages link to R2 instead."""

from django.core.exceptions import SuspiciousFileOperation
from django.core.files.storage import FileSystemStorage, storages
from django.http import FileResponse, Http404, HttpRequest
from django.views.decorators.http import require_safe

CONTENT_TYPES = {
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
}
# an SVG can contain scripts: opened by itself it is sandboxed, nothing runs and nothing loads
DRAWING_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


@require_safe
def media(request: HttpRequest, name: str) -> FileResponse:
    """Send an uploaded picture; the storage never reuses a name, so it can be cached forever."""
    suffix = "." + name.rpartition(".")[2].lower()
    if suffix not in CONTENT_TYPES or not isinstance(storages["default"], FileSystemStorage):
        raise Http404
    try:
        file = storages["default"].open(name)
    except (OSError, SuspiciousFileOperation, ValueError):
        raise Http404 from None
    response = FileResponse(file, content_type=CONTENT_TYPES[suffix])
    response["Cache-Control"] = "public, max-age=31536000, immutable"
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = DRAWING_POLICY
    return response
