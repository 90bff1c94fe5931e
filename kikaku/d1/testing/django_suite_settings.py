"""The settings for Django's own tests on this backend: those of its `test_sqlite.py`, with other databases.

There are two databases, because tests of routers and of several databases need both.
"""

import json
import os
from typing import Any

DATABASES: dict[str, dict[str, Any]] = json.loads(os.environ["DJANGO_SUITE_DATABASES"])
TEST_RUNNER = f"{__package__}.django_suite_runner.Runner"
SECRET_KEY = "django_tests_secret_key"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick, as in Django's own settings
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
