"""The rows of operations, one module per subject."""

from ops.models.jobs import Heartbeat, JobRun
from ops.models.limits import RateBucket

__all__ = ["Heartbeat", "JobRun", "RateBucket"]
