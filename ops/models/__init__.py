"""The rows of operations, one module per subject."""

from ops.models.alerts import Alert
from ops.models.figures import DatabaseSize, RequestFigures
from ops.models.jobs import Heartbeat, JobRun, ProcessStart
from ops.models.limits import RateBucket
from ops.models.people import SignIn, StaffSessions
from ops.models.todos import Todo

__all__ = [
    "Alert",
    "DatabaseSize",
    "Heartbeat",
    "JobRun",
    "ProcessStart",
    "RateBucket",
    "RequestFigures",
    "SignIn",
    "StaffSessions",
    "Todo",
]
