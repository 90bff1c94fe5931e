"""The WSGI application that granian serves."""

import logging
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kikaku.settings")
application = get_wsgi_application()

from django.conf import settings  # noqa: E402  (needs the settings that the lines above have loaded)

logging.getLogger("kikaku").info("switched off: %s", "; ".join(settings.SWITCHED_OFF) or "nothing")
