"""One running shop and one browser for all browser tests."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connections
from playwright.sync_api import Browser, Page, sync_playwright

from kikaku.testing import engine_missing
from ops.testing.browser import Opener
from ops.testing.running import RunningShop

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="package")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    """Start web, worker and the Stripe stand-in once, with the demo goods; end them all afterwards.

    On D1 where the tests run on D1, else on SQLite.
    """
    on_d1 = connections["default"].settings_dict["ENGINE"] == "kikaku.d1"
    running = RunningShop(tmp_path_factory.mktemp("shop"), d1=on_d1)
    try:
        yield running.wait_until_ready()
    finally:
        running.stop()


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Start the machine's Chromium. Only within this package: its event loop is not for Django's own tests."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        engine_missing("Chromium is not installed (Debian: apt install chromium fonts-noto-cjk)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(shop: RunningShop, chromium: Browser) -> Iterator["Opener"]:
    """Give a function that opens a browser; when the test ends no page may have complained."""
    opener = Opener(shop, chromium)
    yield opener
    for one in opener.visits:
        one.context.close()
    complaints = [complaint for one in opener.visits for complaint in one.complaints]
    assert not complaints, "\n".join(complaints)


@contextmanager
def expect_navigation(page: Page) -> Iterator[None]:
    """Wait until the action inside has led to another page."""
    with page.expect_navigation(wait_until="load"):
        yield
