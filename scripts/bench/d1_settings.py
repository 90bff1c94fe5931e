"""The benchmark's settings without hashed names of static files: the admin's are not collected."""

from bench.settings import *  # noqa: F403
from bench.settings import STORAGES

STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
