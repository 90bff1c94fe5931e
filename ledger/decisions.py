"""Transactions that decide by what they read: about an order, about a day.

Who decides about an order locks its row, and PostgreSQL lets nobody else decide until the commit. On Cloudflare D1
nobody waits, and a lock tells only whether the row itself is still the same: a second refund of the same order leaves
it as it was. So there every read is guarded until the commit, and whoever comes second decides anew.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.db import transaction

from kikaku.d1 import retry_on_conflict, serializable

P = ParamSpec("P")
R = TypeVar("R")


def decision(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function as one transaction whose reads stand until it commits; repeat it when another was quicker.

    Within a transaction it is a part of that one, which then is to be a decision itself.
    """
    return retry_on_conflict(serializable()(transaction.atomic(function)))
