"""The first picture of each good drawn by hand as JPEG; `scripts/draw_rasters.py` makes them."""

import hashlib
from pathlib import Path

FOLDER = Path(__file__).parent
SIDE = 630  # px


def stem(svg: str) -> str:
    """Return the name of a drawing's files without suffix: a hash of its content."""
    return hashlib.sha256(svg.encode()).hexdigest()[:20]


def raster(svg: str) -> bytes | None:
    """Return the JPEG of a drawing; None if there is none."""
    file = FOLDER / f"{stem(svg)}.jpg"
    return file.read_bytes() if file.is_file() else None
