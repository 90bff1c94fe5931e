"""A database that is locked for longer than our timeout: an error, nothing stored, and a retry succeeds."""

import pytest
from django.db import OperationalError

from ledger.testing.crashes.lock import EXPECTED_ERROR, database_unwritable, not_on_postgresql
from ledger.testing.crashes.operations import Operation, operations_to_try
from ledger.testing.crashes.scenarios import Scenarios, settled_summary

pytestmark = [pytest.mark.django_db(transaction=True), not_on_postgresql]


@pytest.mark.parametrize("operation", operations_to_try(3))
def test_an_operation_fails_while_the_database_is_locked_and_succeeds_later(
    scenarios: Scenarios, operation: Operation
) -> None:
    expected = scenarios.outcome(operation)
    with scenarios.before(operation) as world:
        with (
            database_unwritable(),
            pytest.raises(OperationalError, match=EXPECTED_ERROR),
        ):
            operation.action(world)
        for action in (operation.action, *operation.after):
            if operation.by_person or action in operation.after:
                action(world)
        assert settled_summary(world) == expected
