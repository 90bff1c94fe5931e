"""One running shop and one browser for all browser tests."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connections
from playwright.sync_api import Browser, Page, sync_playwright

from kikaku.testing import engine_missing
from ops.testing.browser import Opener
from ops.testing.running import RunningShop

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the browser tests one after the other, and those that close the day last: it takes no more sales.

    All share one running shop, so this holds in a random order of the other tests, too.
    """
    ours = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    if ours:
        position = items.index(ours[0])
        ours.sort(key=lambda item: "closed_day" in getattr(item, "fixturenames", ()))
        items[:] = [item for item in items if item not in ours]
        items[position:position] = ours


@pytest.fixture(scope="package")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    """Run web, worker and the Stripe stand-in once for the package, with the demo goods.

    On D1 if the tests run on D1, else on SQLite.
    """
    on_d1 = connections["default"].settings_dict["ENGINE"] == "kikaku.d1"
    running = RunningShop(tmp_path_factory.mktemp("shop"), d1=on_d1)
    try:
        yield running.wait_until_ready()
    finally:
        running.stop()


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Start the machine's Chromium, for this package only: its event loop disturbs other Django tests."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        engine_missing("Chromium is not installed (Debian: apt install chromium fonts-noto-cjk)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(shop: RunningShop, chromium: Browser) -> Iterator[Opener]:
    """Return a function that opens a browser on the package's shop; see `Opener.close`."""
    opener = Opener(shop, chromium)
    yield opener
    opener.close()


@contextmanager
def expect_navigation(page: Page) -> Iterator[None]:
    """Wait until the action inside has led to another page."""
    with page.expect_navigation(wait_until="load"):
        yield
