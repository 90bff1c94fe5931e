"""Draw the demo goods' first pictures as JPEG, for shared links: `.venv/bin/python scripts/draw_rasters.py`.

Networks that show a link with a picture take no SVG. Needs Chromium; run it after a drawing was changed.
"""

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from shop.demo import catalogue, drawing  # noqa: E402
from shop.demo.rasters import FOLDER, SIDE, stem  # noqa: E402


def main() -> None:
    """Write the pictures, and remove those of drawings that are no more."""
    drawings = {
        stem(svg): svg for good in catalogue.goods() for svg in [drawing.draw(good.pictures[0].drawing)]
    }
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.jpg"):
        if old.stem not in drawings:
            old.unlink()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium")
        page = browser.new_page(viewport={"width": SIDE, "height": SIDE})
        for name, svg in drawings.items():
            page.set_content(f"<style>body{{margin:0}}svg{{width:{SIDE}px;height:{SIDE}px}}</style>{svg}")
            shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            shot.save(FOLDER / f"{name}.jpg", quality=78, optimize=True, progressive=True)
        browser.close()


if __name__ == "__main__":
    main()
