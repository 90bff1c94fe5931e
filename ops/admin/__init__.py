"""The admin of operations, one module per subject, and what all pages of the admin share."""

from ops.admin import accounts, alerts, audit, closes, jobs, sign_ins, todos

__all__ = ["accounts", "alerts", "audit", "closes", "jobs", "sign_ins", "todos"]
