"""Settings of a shop that loses its parts in tests: the watch looks every two seconds."""

from ops.testing.unprepared_settings import *  # noqa: F403

WATCH_SECONDS = 2
