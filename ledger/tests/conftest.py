"""Fixtures of the tests of the books."""

from collections.abc import Iterator

import pytest
import stripe
from django.contrib.auth.models import Permission, User
from django.test import Client


@pytest.fixture(autouse=True, scope="session")
def impatient_library() -> Iterator[None]:
    """Make Stripe's library wait only milliseconds between its retries."""
    waits = stripe.HTTPClient.INITIAL_DELAY
    stripe.HTTPClient.INITIAL_DELAY = 0.01
    yield
    stripe.HTTPClient.INITIAL_DELAY = waits


@pytest.fixture
def staff(client: Client) -> Client:
    """Return a client that is signed in and may see, ship, refund, cancel and export orders."""
    user = User.objects.create_user("sato", password="x", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(
            codename__in=[
                "view_order",
                "ship_order",
                "refund_order",
                "refund_above_ceiling",
                "cancel_order",
                "export_books",
            ]
        )
    )
    client.force_login(user)
    return client
