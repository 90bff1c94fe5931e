"""A post is answered by a redirect: going back in the browser sends nothing again."""

from typing import Any

from django.test import Client


def followed(client: Client, answer: Any) -> str:
    """Return the page to which a post redirects."""
    assert answer.status_code == 303
    shown = client.get(answer["Location"])
    assert shown.status_code == 200
    return shown.content.decode()
