"""`kill -9` at every step of every operation; `-rA` lists the points. Nightly runs try all operations."""

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
from ledger.testing.crashes.operations import SEND_MAIL, Operation, operations_to_try
from ledger.testing.crashes.power import kill_at_step, kill_points, persistent_state
from ledger.testing.crashes.scenarios import Scenarios, Summary, settled_summary
from ledger.testing.steps import Step, observe_steps

pytestmark = pytest.mark.django_db(transaction=True)


def possible_outcomes(scenarios: Scenarios, operation: Operation) -> list[Summary]:
    """Return the allowed outcomes: a person may also give up after the kill, or before the action."""
    outcomes = [scenarios.outcome(operation)]
    for actions in ([operation.action], []) if operation.by_person else ():
        with scenarios.before(operation) as world:
            for action in actions:
                action(world)
            outcomes.append(settled_summary(world))
    return outcomes


def find_kill_points(scenarios: Scenarios, operation: Operation) -> list[tuple[int, str]]:
    """Run the operation once, and return the points at which it can be killed."""
    observed: list[Step] = []
    with scenarios.before(operation) as world, observe_steps(observed.append):
        operation.action(world)
    return kill_points(observed)


def kill_at_each_step(scenarios: Scenarios, operation: Operation) -> dict[str, int]:
    """Kill the operation at each of its points; return one point for each distinct state that is left."""
    points = find_kill_points(scenarios, operation)
    remaining = iter(points)
    distinct: dict[str, int] = {}
    states: list[Counter[Hashable]] = []
    number = 0
    while number < points[-1][0]:
        with scenarios.before(operation) as world:
            initial = persistent_state(world)
            for number, name in remaining:
                kill_at_step(world, operation.action, number, database=scenarios.durable)
                print(f"killed {name}")
                state = persistent_state(world)
                if state not in states:
                    states.append(state)
                    distinct[name] = number
                if state != initial:
                    break  # the next kill needs a new world
    return distinct


# the kinds of operation are few: every third of them, all of them at night
@pytest.mark.parametrize("operation", operations_to_try(3))
def test_an_operation_killed_at_any_step_is_done_once_or_not_at_all(
    scenarios: Scenarios, operation: Operation
) -> None:
    outcomes = possible_outcomes(scenarios, operation)
    for name, number in kill_at_each_step(scenarios, operation).items():
        # killed at its first step and not repeated, an operation of a person never happened
        variants = ([] if number == 1 else [False]) + [True] if operation.by_person else [False]
        for repeated in variants:
            with scenarios.before(operation) as world:
                kill_at_step(world, operation.action, number, database=scenarios.durable)
                for action in (operation.action, *operation.after) if repeated else ():
                    action(world)
                assert settled_summary(world) in (outcomes[:1] if repeated else outcomes), name


class MailServer:
    """SMTP handler that stores every mail; it runs in the test's process and survives the sender."""

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        message = message_from_bytes(envelope.content, policy=policy.default)
        body = message.get_body(("plain",))
        assert body is not None
        outbox: list[Any] = django_mail.outbox
        outbox.append(ReceivedMail(message["Subject"].strip(), body.get_content().replace("\r\n", "\n")))
        return "250 OK"


@dataclass(frozen=True)
class ReceivedMail:
    """The parts of a received mail that `checks` reads."""

    subject: str
    body: str


@pytest.fixture
def mail_server() -> Iterator[dict[str, Any]]:
    """Run a real mail server, and yield the Django settings for it."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    server = Controller(MailServer(), hostname="127.0.0.1", port=port)
    server.start()
    backend = "django.core.mail.backends.smtp.EmailBackend"
    yield {"EMAIL_BACKEND": backend, "EMAIL_HOST": "127.0.0.1", "EMAIL_PORT": port, "EMAIL_TIMEOUT": 5}
    server.stop()


def test_after_a_kill_each_mail_is_sent_and_only_an_unrecorded_one_is_sent_twice(
    scenarios: Scenarios, mail_server: dict[str, Any]
) -> None:
    sent_twice, unrecorded_points = [], []
    unrecorded = False
    for number, name in find_kill_points(scenarios, SEND_MAIL):
        unrecorded = "after mail" in name or (unrecorded and "commit" not in name)
        if unrecorded:
            unrecorded_points.append(name)
        with scenarios.before(SEND_MAIL) as world, override_settings(**mail_server):
            kill_at_step(world, SEND_MAIL.action, number, database=scenarios.durable)
            print(f"killed {name}")
            world.mails_in_doubt = 1
            settled_summary(world)
            if len(django_mail.outbox) > OutgoingMail.objects.count():
                sent_twice.append(name)
    assert sent_twice == unrecorded_points
    assert sum("after mail" in name for name in sent_twice) == 2
