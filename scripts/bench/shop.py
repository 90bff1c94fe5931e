"""The shop as `kikaku/wsgi.py` serves it, without the caches that the environment turns off."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bench.settings")
django.setup()

from bench.caches import turn_off, turned_off  # noqa: E402  (needs Django set up)

turn_off(turned_off())

from kikaku.wsgi import application  # noqa: E402  (made as the caches that are off want it)

__all__ = ["application"]
