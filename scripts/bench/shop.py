"""The shop as `kikaku/rsgi.py` serves it, without the caches that the environment turns off."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bench.settings")
django.setup()

from bench.caches import turn_off, turned_off  # noqa: E402  (needs Django set up)

turn_off(turned_off())

from kikaku.rsgi import door  # noqa: E402  (made as the caches that are off want it)

__all__ = ["door"]
