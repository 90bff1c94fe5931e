"""One running shop and one browser for all browser tests."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from django.db import connections
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

from kikaku.testing import engine_missing
from ops.tests.browser.running import RunningShop

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
]
PHONE, DESK = (390, 844), (1280, 900)


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


@dataclass
class Visit:
    """A customer's browser, and everything that must not happen in it."""

    context: BrowserContext
    page: Page
    origins: set[str]
    complaints: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        """Note console errors (violations of the policy are among them), script errors and foreign requests."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"script error on {page.url}: {error}"))
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        expected = (
            "Failed to load resource: the server responded with a status of 4"  # pages that are to be 4xx
        )
        if message.type in ("error", "warning") and not message.text.startswith(expected):
            self.complaints.append(f"console {message.type}: {message.text} ({message.location.get('url')})")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if (
            parts.scheme in ("http", "https", "ws", "wss")
            and f"{parts.scheme}://{parts.netloc}" not in self.origins
        ):
            self.complaints.append(f"external request: {request.url}")


@pytest.fixture
def visit(shop: RunningShop, chromium: Browser) -> Iterator["Opener"]:
    """Give a function that opens a browser; when the test ends no page may have complained."""
    opener = Opener(shop, chromium)
    yield opener
    for one in opener.visits:
        one.context.close()
    complaints = [complaint for one in opener.visits for complaint in one.complaints]
    assert not complaints, "\n".join(complaints)


@dataclass
class Opener:
    """Opens browsers on the running shop."""

    shop: RunningShop
    chromium: Browser
    visits: list[Visit] = field(default_factory=list)

    def __call__(
        self,
        size: tuple[int, int] = DESK,
        *,
        javascript: bool = True,
        dark: bool = False,
        language: str = "ja-JP",
    ) -> Page:
        """Open a fresh browser of `size` (CSS pixels) without cookies."""
        context = self.chromium.new_context(
            viewport={"width": size[0], "height": size[1]},
            java_script_enabled=javascript,
            locale=language,
            timezone_id="Asia/Tokyo",
            color_scheme="dark" if dark else "light",
            base_url=self.shop.url,
        )
        context.set_default_timeout(20_000)
        page = context.new_page()
        stripe = f"http://127.0.0.1:{self.shop.port + 1}"
        one = Visit(context, page, {self.shop.url, stripe})
        one.watch(page)
        self.visits.append(one)
        return page


@contextmanager
def expect_navigation(page: Page) -> Iterator[None]:
    """Wait until the action inside has led to another page."""
    with page.expect_navigation(wait_until="load"):
        yield
