"""The shop's settings; everything that it writes is in the temporary folder `BENCH_FOLDER`."""

import os
from pathlib import Path

from kikaku.settings import *  # noqa: F403
from kikaku.settings import BASE_DIR, RATE_LIMITS, STORAGES

VAR_DIR = Path(os.environ["BENCH_FOLDER"])
MEDIA_ROOT = VAR_DIR / "media"
EVIDENCE_ROOT = VAR_DIR / "evidence"
SANDBOX_STATE = VAR_DIR / "stripe-sandbox.sqlite3"
STORAGES["evidence"] = {
    "BACKEND": "django.core.files.storage.FileSystemStorage",
    "OPTIONS": {"location": EVIDENCE_ROOT, "base_url": None},
}

# Hashed names as in production; only the shop's own files, not compressed, since none is requested.
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"}

# Rate limits count but never refuse: the benchmark is a single client.
RATE_LIMITS = {rule: (10_000_000, seconds) for rule, (_count, seconds) in RATE_LIMITS.items()}
