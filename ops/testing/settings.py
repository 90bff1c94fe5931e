"""The project's settings for a shop that a test starts: its files are below KIKAKU_TEST_ROOT."""

import os
from pathlib import Path

from kikaku.settings import *  # noqa: F403

VAR_DIR = Path(os.environ["KIKAKU_TEST_ROOT"])
# where the stand-in listens, if a test's switch has the port that the shop calls
SANDBOX_PORT = int(os.environ.get("KIKAKU_TEST_STRIPE_PORT") or SANDBOX_PORT)  # noqa: F405
SANDBOX_STATE = VAR_DIR / "stripe.sqlite3"
MEDIA_ROOT = VAR_DIR / "media"
EVIDENCE_ROOT = VAR_DIR / "evidence"
STATIC_ROOT = Path(os.environ.get("KIKAKU_TEST_STATIC_ROOT", VAR_DIR / "staticfiles"))
if not R2_ENDPOINT_URL:  # noqa: F405
    STORAGES["evidence"]["OPTIONS"] = {"location": EVIDENCE_ROOT, "base_url": None}  # noqa: F405
    STORAGES["backups"]["OPTIONS"] = {"location": VAR_DIR / "backups", "base_url": None}  # noqa: F405
DEMO_YEAR_END = False  # a close of all days since then takes a minute on D1
