"""The error pages 403, 404 and 500."""

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
