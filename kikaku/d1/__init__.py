"""Cloudflare D1 as a Django database, with transactions. README.md describes how it works and how to use it.

These names are for code outside of the backend. On other engines they cost nothing: no conflict is ever
raised there, and isolation is left to the engine.
"""

from .exceptions import CommitUnknown, TransactionConflict
from .transactions import queued_writes, reserve_ids, retry_on_conflict, serializable

__all__ = [
    "CommitUnknown",
    "TransactionConflict",
    "queued_writes",
    "reserve_ids",
    "retry_on_conflict",
    "serializable",
]
