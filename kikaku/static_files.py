"""Static files from the web process, without those that are for the server alone."""

from pathlib import Path
from typing import Any

from whitenoise.middleware import WhiteNoiseMiddleware

MANIFEST = "staticfiles.json"  # which hashed name each file has


class StaticFilesMiddleware(WhiteNoiseMiddleware):
    """WhiteNoise that serves neither the manifest nor names that begin with a dot."""

    def add_file_to_dictionary(self, url: str, path: str, stat_cache: Any = None) -> None:
        """Let a file be served unless it is private."""
        name = Path(path).name
        if not name.startswith((MANIFEST, ".")):
            super().add_file_to_dictionary(url, path, stat_cache=stat_cache)
