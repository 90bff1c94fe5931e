"""The bench's settings with the floor's address instead of the shop's."""

from bench.settings import *  # noqa: F403

ROOT_URLCONF = "bench.floor"
