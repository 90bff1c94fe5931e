"""The errors that a transaction on D1 can end with besides Django's own."""

from django.db import OperationalError


class TransactionConflict(OperationalError):
    """Another writer changed what this block read or wrote. Nothing of the block was applied: repeat it."""


class CommitUnknown(OperationalError):
    """The answer to a COMMIT was lost and D1 cannot be asked: all of the block was applied, or nothing."""
