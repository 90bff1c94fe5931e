#!/usr/bin/env python3
"""Take the README's screenshot of a running shop.

    .venv/bin/python scripts/screenshot.py [http://127.0.0.1:8000]

Needs the packages that `make test` installs, and Debian's chromium with fonts-noto-cjk.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

TARGET = Path(__file__).resolve().parent.parent / "docs" / "shop.png"


def main() -> None:
    """Save the home page as a customer sees it on a desktop."""
    address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(
            viewport={"width": 1280, "height": 860}, locale="ja-JP", device_scale_factor=1
        )
        page.goto(address)
        page.wait_for_load_state("networkidle")
        page.screenshot(path=str(TARGET))
        browser.close()
    print(f"{TARGET.name}: {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
