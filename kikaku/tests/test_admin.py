"""The base of the admin pages belongs to the lowest layer: it names no app above it."""

import re

from django.conf import settings

APP_NAME = re.compile(r"\b(?:ledger|shop|ops)\b")


def test_the_base_of_the_admin_names_no_app() -> None:
    sources = [
        path
        for folder in ("kikaku/admin", "templates/kikaku", "static/kikaku")
        for path in (settings.BASE_DIR / folder).rglob("*")
        if path.suffix in (".py", ".html", ".css")
    ]
    assert {path.suffix for path in sources} == {".py", ".html", ".css"}
    assert [(path.name, name) for path in sources for name in APP_NAME.findall(path.read_text())] == []
