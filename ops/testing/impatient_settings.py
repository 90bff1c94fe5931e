"""Settings of a worker that a test runs: whatever django-q2's own scheduler would do, it does at once."""

from ops.testing.settings import *  # noqa: F403

Q_CLUSTER["guard_cycle"] = 30  # noqa: F405  (it looks at its table after 30 seconds of such cycles)
