"""What the tests of the books share."""

from collections.abc import Iterator

import pytest
import stripe


@pytest.fixture(autouse=True, scope="session")
def impatient_library() -> Iterator[None]:
    """Let Stripe's library wait milliseconds between its retries; that it retries is what the tests are about."""
    waits = stripe.HTTPClient.INITIAL_DELAY
    stripe.HTTPClient.INITIAL_DELAY = 0.01
    yield
    stripe.HTTPClient.INITIAL_DELAY = waits
