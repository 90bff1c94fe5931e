"""The error pages 403, 404 and 500."""

import re

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client, RequestFactory
from django.utils import translation

from shop.views.errors import forbidden, server_error


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/nowhere/", "/products/nothing/", "/en/nowhere/"])
def test_the_404_page_offers_the_search(client: Client, path: str) -> None:
    answer = client.get(path)
    page = answer.content.decode()
    assert answer.status_code == 404
    assert 'role="search"' in page
    assert ("Page not found" if path.startswith("/en/") else "ページが見つかりません") in page
    assert '<meta name="robots" content="noindex">' in page


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "path",
    [
        "/en//evil.example/",
        "/en///evil.example/",
        "/en/\\evil.example/",
        "/en/\t/evil.example/",
        "/en/\n\\evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "/en//",
    ],
)
def test_no_link_of_a_404_page_leads_to_another_site(client: Client, path: str, method: str) -> None:
    answer = client.generic(method, "/", PATH_INFO=path)
    assert answer.status_code == 404
    links = re.findall(r'(?:href|action)="([^"]*)"', answer.content.decode())
    assert len(links) > 5
    for link in links:
        seen_by_a_browser = re.sub(r"[\t\r\n]", "", link).replace("\\", "/")
        assert not seen_by_a_browser.startswith("//"), link


def test_the_500_page_needs_no_database() -> None:
    with translation.override("ja"):
        answer = server_error(RequestFactory().get("/"))
    assert answer.status_code == 500
    assert "エラーが発生しました" in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.django_db
def test_the_403_page_explains_itself() -> None:
    with translation.override("ja"):
        answer = forbidden(RequestFactory().get("/"), PermissionDenied())
    assert answer.status_code == 403
    assert "このページは表示できません" in answer.content.decode()
