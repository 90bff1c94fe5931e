"""Settings of a shop that a test serves without `manage.py prepare`: static files keep their plain names."""

from ops.testing.settings import *  # noqa: F403

STORAGES["staticfiles"] = {  # noqa: F405
    "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
}
# the customers of a test have one address
MAX_UNPAID_ORDERS = MAX_ORDERS_PER_HOUR = 1_000
