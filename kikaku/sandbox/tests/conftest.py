"""Fixtures: a stand-in whose every exchange is judged by Stripe's OpenAPI document."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import stripe

from kikaku.sandbox import Sandbox
from kikaku.sandbox.openapi import Contract
from kikaku.sandbox.openapi import contract as read_contract
from kikaku.sandbox.server import running
from kikaku.sandbox.tests.build import Clock, in_process, over_socket
from kikaku.testing import engine_missing

START = 1_780_000_000.0  # 2026-05-28 20:26:40 UTC, between two days anywhere


@pytest.fixture
def contract() -> Contract:
    """Stripe's document; the test is skipped where it has not been fetched."""
    try:
        return read_contract()
    except FileNotFoundError:
        engine_missing("Stripe's OpenAPI document is missing: run scripts/stripe_spec.py")


@pytest.fixture
def clock() -> Clock:
    """A clock that moves only when told."""
    return Clock(START)


@pytest.fixture
def sandbox(tmp_path: Path, contract: Contract, clock: Clock) -> Iterator[Sandbox]:
    """A stand-in on a fresh state file; a request or answer that Stripe does not document fails the test."""
    sandbox = Sandbox(tmp_path / "stripe.sqlite3", clock=clock, observer=contract.observe)
    yield sandbox
    sandbox.close()


@pytest.fixture
def client(sandbox: Sandbox) -> stripe.StripeClient:
    """The real Stripe client, in this process."""
    return in_process(sandbox)


@pytest.fixture
def lenient(sandbox: Sandbox, contract: Contract) -> Sandbox:
    """The same stand-in for what Stripe refuses: only the answers are judged."""
    sandbox.observer = contract.observe_answer
    return sandbox


@pytest.fixture
def address(sandbox: Sandbox) -> Iterator[str]:
    """The stand-in served on a port of the system's choice."""
    with running(sandbox) as address:
        yield address


@pytest.fixture
def wire_client(address: str) -> stripe.StripeClient:
    """The real Stripe client over a real socket."""
    return over_socket(address)
