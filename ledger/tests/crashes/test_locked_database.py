"""A database that takes nothing for longer than we wait: an error, nothing half, and the next try works."""

import pytest
from django.db import OperationalError

from ledger.testing.crashes.lock import SAID, not_on_postgresql, nothing_can_be_written
from ledger.testing.crashes.operations import Operation, tried
from ledger.testing.crashes.scene import Scene, settled

pytestmark = [pytest.mark.django_db(transaction=True), not_on_postgresql]


@pytest.mark.parametrize("operation", tried(3))
def test_what_can_not_be_written_now_is_written_later(scene: Scene, operation: Operation) -> None:
    end = scene.end(operation)
    with scene.before(operation) as world:
        with (
            nothing_can_be_written(),
            pytest.raises(OperationalError, match=SAID),
        ):
            operation.deed(world)
        for deed in (operation.deed, *operation.then):
            if operation.by_person or deed in operation.then:
                deed(world)
        assert settled(world) == end
