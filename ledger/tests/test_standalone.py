"""The ledger works without the shop: another project installs it and provides the customer's pages."""

import os
import re
import subprocess
import sys
from pathlib import Path

from django.conf import settings

LEDGER = settings.BASE_DIR / "ledger"


def test_a_project_without_the_shop_sells_ships_refunds_and_closes_a_day(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "ledger.testing.standalone.scenario"],
        cwd=settings.BASE_DIR,
        env={
            **os.environ,
            "ENVIRONMENT": "development",
            "DJANGO_SETTINGS_MODULE": "ledger.testing.standalone.settings",
            "STANDALONE_DIR": str(tmp_path),
            "DATABASE_URL": f"sqlite:///{tmp_path / 'ledger.sqlite3'}",
            "STOREFRONT_BASE_URL": "http://127.0.0.1:8000",
            "STRIPE_SECRET_KEY": "",
            "STRIPE_API_BASE": "",
        },
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr


def test_the_ledger_names_no_url_but_the_admins() -> None:
    use = re.compile(r"""(?:reverse(?:_lazy)?\(|\{%\s*url\s|redirect\(|resolve_url\()\s*f?["']([\w:-]+)""")
    sources = [
        path
        for path in LEDGER.rglob("*.py")
        if {"tests", "testing"}.isdisjoint(path.relative_to(LEDGER).parts)
    ]
    for ending in ("html", "txt"):
        sources += (settings.BASE_DIR / "templates" / "ledger").rglob(f"*.{ending}")
    names = {name for path in sources for name in use.findall(path.read_text())}
    assert names
    assert {name for name in names if not name.startswith("admin:")} == set()
