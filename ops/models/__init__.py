"""The rows of operations, one module per subject."""

from ops.models.jobs import Heartbeat, JobRun
from ops.models.limits import RateBucket
from ops.models.todos import Todo

__all__ = ["Heartbeat", "JobRun", "RateBucket", "Todo"]
