"""The benchmark's settings with the floor's URL instead of the shop's."""

from bench.settings import *  # noqa: F403

ROOT_URLCONF = "bench.floor"
