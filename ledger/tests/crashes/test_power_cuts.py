"""`kill -9` at every step of everything that moves something; `-rA` lists the points. `make soak` tries them all."""

import socket
from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from django.core import mail as django_mail
from django.test import override_settings

from ledger.models import OutgoingMail
from ledger.testing.crashes.operations import SEND_MAIL, Operation, tried
from ledger.testing.crashes.power import cut, points, traces
from ledger.testing.crashes.scene import Scene, Story, settled
from ledger.testing.steps import Step, steps

pytestmark = pytest.mark.django_db(transaction=True)


def possible_ends(scene: Scene, operation: Operation) -> list[Story]:
    """Tell how it may end: a person may also not come back after the cut, or not have come in time."""
    ends = [scene.end(operation)]
    for deeds in ([operation.deed], []) if operation.by_person else ():
        with scene.before(operation) as world:
            for deed in deeds:
                deed(world)
            ends.append(settled(world))
    return ends


def points_of(scene: Scene, operation: Operation) -> list[tuple[int, str]]:
    """Do it once, and name the points at which it can be cut."""
    seen: list[Step] = []
    with scene.before(operation) as world, steps(seen.append):
        operation.deed(world)
    return points(seen)


def cut_everywhere(scene: Scene, operation: Operation) -> dict[str, int]:
    """Cut it at each of its points; gives one point for each way in which that leaves the world."""
    named = points_of(scene, operation)
    rest = iter(named)
    ways: dict[str, int] = {}
    left: list[Counter[Hashable]] = []
    number = 0
    while number < named[-1][0]:
        with scene.before(operation) as world:
            untouched = traces(world)
            for number, name in rest:
                cut(world, operation.deed, number, database=scene.durable)
                print(f"killed {name}")
                found = traces(world)
                if found not in left:
                    left.append(found)
                    ways[name] = number
                if found != untouched:
                    break  # the next one begins anew
    return ways


@pytest.mark.parametrize("operation", tried())
def test_killed_at_any_step_it_is_done_once_or_not_at_all(scene: Scene, operation: Operation) -> None:
    ends = possible_ends(scene, operation)
    for name, number in cut_everywhere(scene, operation).items():
        # nobody saw a form that left nothing behind: who does not send it again has never come
        variants = ([] if number == 1 else [False]) + [True] if operation.by_person else [False]
        for repeated in variants:
            with scene.before(operation) as world:
                cut(world, operation.deed, number, database=scene.durable)
                for deed in (operation.deed, *operation.then) if repeated else ():
                    deed(world)
                assert settled(world) in (ends[:1] if repeated else ends), name


class MailServer:
    """Takes every mail, and outlives who sends it."""

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        letter = message_from_bytes(envelope.content, policy=policy.default)
        body = letter.get_body(("plain",))
        assert body is not None
        outbox: list[Any] = django_mail.outbox
        outbox.append(Letter(letter["Subject"].strip(), body.get_content().replace("\r\n", "\n")))
        return "250 OK"


@dataclass(frozen=True)
class Letter:
    """What `witness` looks at."""

    subject: str
    body: str


@pytest.fixture
def mail_server() -> Iterator[dict[str, Any]]:
    """Run a real mail server; gives the settings that lead there."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Controller(MailServer(), hostname="127.0.0.1", port=port)
    server.start()
    backend = "django.core.mail.backends.smtp.EmailBackend"
    yield {"EMAIL_BACKEND": backend, "EMAIL_HOST": "127.0.0.1", "EMAIL_PORT": port, "EMAIL_TIMEOUT": 5}
    server.stop()


def test_killed_while_it_sends_mail_each_goes_out_and_only_what_the_server_has_just_taken_goes_twice(
    scene: Scene, mail_server: dict[str, Any]
) -> None:
    twice, taken_and_not_recorded = [], []
    unrecorded = False
    for number, name in points_of(scene, SEND_MAIL):
        unrecorded = "after mail" in name or (unrecorded and "commit" not in name)
        if unrecorded:
            taken_and_not_recorded.append(name)
        with scene.before(SEND_MAIL) as world, override_settings(**mail_server):
            cut(world, SEND_MAIL.deed, number, database=scene.durable)
            print(f"killed {name}")
            world.mails_in_doubt = 1
            settled(world)
            if len(django_mail.outbox) > OutgoingMail.objects.count():
                twice.append(name)
    assert twice == taken_and_not_recorded
    assert sum("after mail" in name for name in twice) == 2
