"""Settings of a shop that a test serves without `manage.py prepare`: static files keep their plain names."""

from ops.testing.settings import *  # noqa: F403

STORAGES["staticfiles"] = {  # noqa: F405
    "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
}
