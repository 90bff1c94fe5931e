"""Settings of a shop whose front door loses patience after a few seconds, and that cannot write uploads."""

from ops.testing.unprepared_settings import *  # noqa: F403

STALL_SECONDS = 5.0
BODY_PATIENCE_SECONDS = 3.0  # on a busy machine a genuine body still comes in time
FILE_UPLOAD_TEMP_DIR = "/nonexistent"  # a file that Django wants to put there fails the request
RATE_LIMITS = {"GET search": (49, 60)}  # so small a limit is counted in the database
