"""Settings of a project that installs the ledger without the shop and ops, with files in STANDALONE_DIR."""

import os
from pathlib import Path
from typing import Any

from kikaku.settings import *  # noqa: F403
from kikaku.settings import INSTALLED_APPS, MIDDLEWARE, STORAGES, TEMPLATES, UNFOLD

DIRECTORY = Path(os.environ["STANDALONE_DIR"])

INSTALLED_APPS = [app for app in INSTALLED_APPS if app not in ("shop", "ops")]
MIDDLEWARE = [path for path in MIDDLEWARE if not path.startswith("ops.")]
_options: Any = TEMPLATES[0]["OPTIONS"]
_options["context_processors"] = [
    path for path in _options["context_processors"] if not path.startswith("ops.")
]
ROOT_URLCONF = "ledger.testing.standalone.urls"
WSGI_LAYERS = []
ORDER_PAGES = "ledger.testing.standalone.urls.ExamplePages"
OTHER_TRIGGERS = []
PROOF_OF_IDENTITY = ""
SESSION_ENGINE = "django.contrib.sessions.backends.db"
UNFOLD = {"SITE_TITLE": UNFOLD["SITE_TITLE"]}
STORAGES = {
    **STORAGES,
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "evidence": {
        "BACKEND": "kikaku.durable_files.DurableFileStorage",
        "OPTIONS": {"location": DIRECTORY / "evidence", "base_url": None},
    },
}
SANDBOX_STATE = DIRECTORY / "stripe.sqlite3"
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
