"""The errors that a transaction on D1 can end with besides Django's own."""

from django.db import IntegrityError, OperationalError


class TransactionConflict(OperationalError):
    """Another writer changed what this block read or wrote. Nothing of the block was applied: repeat it."""


class ConstraintConflict(TransactionConflict, IntegrityError):
    """A constraint refused what passed it before: another writer was faster, with the same name for example.

    It is an `IntegrityError`, so that `get_or_create()` and code of that kind read the other writer's row.
    """


class CommitUnknown(OperationalError):
    """The answer to a COMMIT was lost and D1 cannot be asked: all of the block was applied, or nothing."""
