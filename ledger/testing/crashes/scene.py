"""The scene of a trouble: a world in which an operation is about to begin, and how such a world ends without it."""

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
from ledger.testing.crashes.operations import Operation, story
from ledger.testing.histories import checks
from ledger.testing.histories.world import World, a_world

Story = dict[str, Any]
MEMORY = "memory.pickle"


@dataclass(frozen=True)
class Scene:
    """What the worlds of a test are made from."""

    ground: Path
    durable: dict[str, Any] = field(repr=False)  # OPTIONS with which the shop opens its database

    @contextmanager
    def before(self, operation: Operation) -> Iterator[World]:
        """Come to where an operation begins. One world at a time: the database is that of the last one."""
        with a_world(self.ground) as world:
            kept = self.ground / operation.name.replace(" ", "-")
            if kept.exists():
                _put_back(kept, world)
            else:
                for deed in operation.before:
                    deed(world)
                if engine() == "sqlite":  # copying files is quicker than living it all again
                    _keep(world, kept)
            yield world

    def end(self, operation: Operation) -> Story:
        """Tell how it ends when nothing goes wrong; from outside of any world."""
        if operation.name not in _ends:
            with self.before(operation) as world:
                for deed in (operation.deed, *operation.then):
                    deed(world)
                _ends[operation.name] = settled(world)
        return _ends[operation.name]


_ends: dict[str, Story] = {}  # the same in every test


def _keep(world: World, folder: Path) -> None:
    """Copy a world's files, and what it remembers."""
    connection.close()
    world.sandbox.close()
    shutil.copytree(world.folder, folder)
    memory = {name: value for name, value in vars(world).items() if name not in ("folder", "sandbox")}
    (folder / MEMORY).write_bytes(pickle.dumps((memory, django_mail.outbox)))


def _put_back(folder: Path, world: World) -> None:
    connection.close()
    world.sandbox.close()
    shutil.copytree(folder, world.folder, dirs_exist_ok=True)
    memory, django_mail.outbox = pickle.loads((folder / MEMORY).read_bytes())
    vars(world).update(memory)


def settled(world: World) -> Story:
    """Let everything come to rest, and tell how it is then; nothing may be wrong."""
    world.settle()
    wrong = list(checks.complaints(world))
    assert not wrong, "\n".join(wrong)
    return story(world)
