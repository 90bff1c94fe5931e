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
    """Return a client that is signed in and may see all of an order, ship, refund, cancel and export it."""
    user = User.objects.create_user("sato", password="x", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(
            codename__in=[
                "view_order",
                "view_payment",
                "view_refund",
                "view_outgoingmail",
                "view_journalentry",
                "view_checkoutattempt",
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
