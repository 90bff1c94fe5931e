"""Fixtures: a stand-in whose requests and responses are validated against Stripe's OpenAPI document."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import stripe

from kikaku.sandbox import Sandbox
from kikaku.sandbox.openapi import Contract
from kikaku.sandbox.openapi import contract as read_contract
from kikaku.sandbox.server import running
from kikaku.sandbox.testing.build import Clock, in_process, over_socket
from kikaku.testing import engine_missing

START = 1_780_000_000.0  # 2026-05-28 20:26:40 UTC, 29 May in Japan


@pytest.fixture
def contract() -> Contract:
    """Return Stripe's document; skip the test if it has not been fetched."""
    try:
        return read_contract()
    except FileNotFoundError:
        engine_missing("Stripe's OpenAPI document is missing: run scripts/stripe_spec.py")


@pytest.fixture
def clock() -> Clock:
    """Return a clock that moves only by `forward`."""
    return Clock(START)


@pytest.fixture
def sandbox(tmp_path: Path, contract: Contract, clock: Clock) -> Iterator[Sandbox]:
    """Yield a stand-in on a new state file; undocumented requests and responses fail the test."""
    sandbox = Sandbox(tmp_path / "stripe.sqlite3", clock=clock, observer=contract.observe)
    yield sandbox
    sandbox.close()


@pytest.fixture
def client(sandbox: Sandbox) -> stripe.StripeClient:
    """Return Stripe's client, in this process."""
    return in_process(sandbox)


@pytest.fixture
def lenient(sandbox: Sandbox, contract: Contract) -> Sandbox:
    """Return the stand-in for requests that Stripe refuses: only the responses are validated."""
    sandbox.observer = contract.observe_response
    return sandbox


@pytest.fixture
def address(sandbox: Sandbox) -> Iterator[str]:
    """Yield the address of the served stand-in."""
    with running(sandbox) as address:
        yield address


@pytest.fixture
def wire_client(address: str) -> stripe.StripeClient:
    """Return Stripe's client over a socket."""
    return over_socket(address)
