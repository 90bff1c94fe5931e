"""Browsers on a running shop, and the errors they report."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect

from ops.testing.running import RunningShop

PHONE, DESK = (390, 844), (1280, 900)
TIMEOUT_MS = 20_000  # of an act, and of what is expected after it
expect.set_options(timeout=TIMEOUT_MS)


@dataclass
class Visit:
    """A customer's browser, and the errors that were seen in it."""

    context: BrowserContext
    page: Page
    origins: set[str]
    complaints: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        """Record console errors (CSP violations among them), script errors and requests to other hosts."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"script error on {page.url}: {error}"))
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        # pages that answer 4xx on purpose
        expected = "Failed to load resource: the server responded with a status of 4"
        if message.type in ("error", "warning") and not message.text.startswith(expected):
            self.complaints.append(f"console {message.type}: {message.text} ({message.location.get('url')})")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if (
            parts.scheme in ("http", "https", "ws", "wss")
            and f"{parts.scheme}://{parts.netloc}" not in self.origins
        ):
            self.complaints.append(f"external request: {request.url}")


@dataclass
class Opener:
    """Factory of browsers on the running shop."""

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
        """Return the page of a new browser of `size` (CSS pixels), without cookies."""
        context = self.chromium.new_context(
            viewport={"width": size[0], "height": size[1]},
            java_script_enabled=javascript,
            locale=language,
            timezone_id="Asia/Tokyo",
            color_scheme="dark" if dark else "light",
            base_url=self.shop.url,
        )
        context.set_default_timeout(TIMEOUT_MS)
        page = context.new_page()
        stripe = f"http://127.0.0.1:{self.shop.port + 1}"
        visit = Visit(context, page, {self.shop.url, stripe})
        visit.watch(page)
        self.visits.append(visit)
        return page

    def close(self) -> None:
        """Close all browsers; fail if a page in one of them has reported an error."""
        for visit in self.visits:
            visit.context.close()
        complaints = [complaint for visit in self.visits for complaint in visit.complaints]
        assert not complaints, "\n".join(complaints)
