"""Pages of a customer's order."""

from django.test import Client

from ledger.models import Order


def page_of(client: Client, order: Order, tail: str = "") -> str:
    """Return a page of the order."""
    answer = client.get(f"/orders/{order.token}/{tail}")
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    assert "noindex" in answer["X-Robots-Tag"]
    assert answer["Referrer-Policy"] == "same-origin"
    return answer.content.decode()
