"""Scenarios of faults: a world in which an operation is about to begin, and its outcome without a fault."""

import pickle
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.core import mail as django_mail
from django.db import connection

from kikaku.testing.database import engine
from ledger.testing.crashes.operations import Operation, summary
from ledger.testing.histories import checks
from ledger.testing.histories.world import World, temporary_world

Summary = dict[str, Any]
ATTRIBUTES_FILE = "attributes.pickle"


@dataclass(frozen=True)
class Scenarios:
    """Worlds for the operations of a test, and their outcomes."""

    template_folder: Path
    durable: dict[str, Any] = field(repr=False)  # OPTIONS with which the shop opens its database

    @contextmanager
    def before(self, operation: Operation) -> Iterator[World]:
        """Yield a world in which the operation can begin. One world at a time: they share the connection."""
        with temporary_world(self.template_folder) as world:
            snapshot = self.template_folder / operation.name.replace(" ", "-")
            if snapshot.exists():
                _restore(snapshot, world)
            else:
                for action in operation.before:
                    action(world)
                if engine() == "sqlite":  # copying files is faster than repeating the actions
                    _store(world, snapshot)
            yield world

    def outcome(self, operation: Operation) -> Summary:
        """Return the outcome of the operation without a fault. Must be called outside of any world."""
        if operation.name not in _outcomes:
            with self.before(operation) as world:
                for action in (operation.action, *operation.after):
                    action(world)
                _outcomes[operation.name] = settled_summary(world)
        return _outcomes[operation.name]


_outcomes: dict[str, Summary] = {}  # shared by all tests


def _store(world: World, folder: Path) -> None:
    """Store a copy of a world's files and of its attributes."""
    connection.close()
    world.sandbox.close()
    shutil.copytree(world.folder, folder)
    attributes = {name: value for name, value in vars(world).items() if name not in ("folder", "sandbox")}
    (folder / ATTRIBUTES_FILE).write_bytes(pickle.dumps((attributes, django_mail.outbox)))


def _restore(folder: Path, world: World) -> None:
    connection.close()
    world.sandbox.close()
    shutil.copytree(folder, world.folder, dirs_exist_ok=True)
    attributes, django_mail.outbox = pickle.loads((folder / ATTRIBUTES_FILE).read_bytes())
    vars(world).update(attributes)


def settled_summary(world: World) -> Summary:
    """Settle a world and return its summary. Raises AssertionError when a check fails."""
    world.settle()
    found = list(checks.violations(world))
    assert not found, "\n".join(found)
    return summary(world)
