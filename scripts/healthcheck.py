"""The image's HEALTHCHECK: exit with 0 if this container's web server answers /health with 200."""

import os
import sys
import urllib.request
from urllib.parse import urlsplit

host = urlsplit(os.environ.get("STOREFRONT_BASE_URL", "")).netloc or "127.0.0.1"
request = urllib.request.Request(
    f"http://127.0.0.1:{os.environ.get('PORT', '8000')}/health", headers={"Host": host}
)
try:
    with urllib.request.urlopen(request, timeout=4) as answer:
        sys.exit(0 if answer.status == 200 else 1)
except OSError as error:
    print(error, file=sys.stderr)
    sys.exit(1)
