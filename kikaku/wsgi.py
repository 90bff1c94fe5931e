"""The WSGI application behind the front door (`kikaku.rsgi`)."""

import logging
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kikaku.settings")
application = get_wsgi_application()

from django.conf import settings  # noqa: E402  (needs the settings that the lines above have loaded)
from django.utils.module_loading import import_string  # noqa: E402

for layer in settings.WSGI_LAYERS:
    application = import_string(layer)(application)

logging.getLogger("kikaku").info("switched off: %s", "; ".join(settings.SWITCHED_OFF) or "nothing")
