"""The admin has its own Content-Security-Policy; the shop keeps the strict one."""

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db


def directives(client: Client, path: str) -> dict[str, str]:
    policy = client.get(path)["Content-Security-Policy"]
    return {name: rest for name, _, rest in (part.strip().partition(" ") for part in policy.split(";"))}


@pytest.mark.parametrize("path", ["/admin/login/", "/en/admin/login/"])
def test_the_admin_may_use_the_inline_code_of_its_theme(client: Client, path: str) -> None:
    policy = directives(client, path)
    assert "'unsafe-inline'" in policy["script-src"]
    assert policy["default-src"] == "'none'" and policy["frame-ancestors"] == "'none'"
    assert policy["form-action"] == "'self'"


@pytest.mark.parametrize("path", ["/", "/en/", "/admin-is-not-here/", "/health"])
def test_every_other_page_keeps_the_strict_policy(client: Client, path: str) -> None:
    policy = directives(client, path)
    assert policy["script-src"] == "'self'" and policy["style-src"] == "'self'"
    assert "https://checkout.stripe.com" in policy["form-action"]
