"""Dimension drawings: outline and measures in mm, with drawn digits, so that no font is needed."""

from .canvas import Drawing, Sheet, number
from .colour import mix

INK = "#4b4842"
LINE = "#9a948a"

# Strokes of each character in a box 10 wide and 16 high.
_CHARACTERS = {
    "0": "M5 0Q0 0 0 8T5 16T10 8T5 0",
    "1": "M2 3L6 0V16",
    "2": "M1 4Q1 0 5 0T9 4Q9 8 0 16H10",
    "3": "M1 2Q9-3 9 4Q9 7.500 4 7.500Q10 7.500 10 12Q9 18 0 14",
    "4": "M8 16V0L0 11H10",
    "5": "M9 0H2L1 7Q10 4 10 11Q9 18 0 15",
    "6": "M8 0Q0 4 0 11Q0 16 5 16T10 11Q10 6 5 6T0 11",
    "7": "M0 0H10L4 16",
    "8": "M5 7.500Q1 7 1 4Q1 0 5 0T9 4Q9 7 5 7.500Q0 8 0 12Q0 16 5 16T10 12Q10 8 5 7.500",
    "9": "M10 5Q10 10 5 10T0 5Q0 0 5 0T10 5Q10 12 2 16",
    "m": "M0 16V6M0 9Q2 5.500 5 7V16M5 9Q7 5.500 10 7V16",
    "d": "M5 2Q0 2 0 8T5 14T10 8T5 2M1 16L9 0",  # the diameter sign
    " ": "",
}

# Subjects whose width is a diameter.
_ROUND = {
    "ceiling-disc", "ceiling-ring", "ceiling-drum", "bulb-puck", "panel-downlights", "power-sensor",
}  # fmt: skip
_BULBS = {"bulb-pear", "bulb-small", "bulb-globe", "bulb-filament", "bulb-reflector", "bulb-candle"}


def write(s: Sheet, text: str, x: float, y: float, size: float = 1.9, turn: float = 0) -> None:
    """Write a text centred on `x`, `y`; it may hold 0–9, m, d (for the diameter sign) and spaces."""
    start = -(len(text) * 14 - 4) / 2
    s.begin(
        transform=f"translate({number(x)} {number(y)}) rotate({turn:g}) scale({size:g})",
        fill="none", stroke=INK, stroke_width=1.5, stroke_linecap="round", stroke_linejoin="round",
    )  # fmt: skip
    for i, character in enumerate(text):
        if _CHARACTERS[character]:
            s.add("path", d=_CHARACTERS[character], transform=f"translate({start + i * 14:g} -8)")
    s.end()


def _horizontal_measure(s: Sheet, x1: float, x2: float, y: float, text: str, away: float) -> None:
    """Draw a horizontal measure below an outline that ends `away` above it."""
    s.stroke(
        f"M{x1:.0f} {y - away + 14:.0f}V{y + 14:.0f}M{x2:.0f} {y - away + 14:.0f}V{y + 14:.0f}"
        f"M{x1:.0f} {y:.0f}H{x2:.0f}",
        LINE,
        2,
    )
    for x in (x1, x2):
        s.oval(x, y, 6, 6, INK)
    write(s, text, (x1 + x2) / 2, y + 38)


def _vertical_measure(s: Sheet, y1: float, y2: float, x: float, text: str, away: float) -> None:
    """Draw a vertical measure right of an outline that ends `away` before it."""
    s.stroke(
        f"M{x - away + 14:.0f} {y1:.0f}H{x + 14:.0f}M{x - away + 14:.0f} {y2:.0f}H{x + 14:.0f}"
        f"M{x:.0f} {y1:.0f}V{y2:.0f}",
        LINE,
        2,
    )
    for y in (y1, y2):
        s.oval(x, y, 6, 6, INK)
    if y2 - y1 > len(text) * 26:
        write(s, text, x + 38, (y1 + y2) / 2, turn=-90)
    else:
        write(s, text, x + 36 + len(text) * 13, (y1 + y2) / 2)


def _bulb(s: Sheet, x: float, y: float, w: float, h: float, fill: str) -> None:
    """Draw the outline of a bulb in its box."""
    cap = min(h * 0.24, w * 0.5)
    neck = w * 0.22
    s.path(
        f"M{x - neck:.0f} {y + cap:.0f}"
        f"C{x - neck:.0f} {y + h * 0.42:.0f} {x - w / 2:.0f} {y + h * 0.4:.0f}"
        f" {x - w / 2:.0f} {y + h - w * 0.46:.0f}"
        f"Q{x - w / 2:.0f} {y + h:.0f} {x:.0f} {y + h:.0f}T{x + w / 2:.0f} {y + h - w * 0.46:.0f}"
        f"C{x + w / 2:.0f} {y + h * 0.4:.0f} {x + neck:.0f} {y + h * 0.42:.0f} {x + neck:.0f} {y + cap:.0f}Z",
        fill, stroke=INK, stroke_width=4, stroke_linejoin="round",
    )  # fmt: skip
    s.rect(x - neck * 0.9, y, neck * 1.8, cap, fill, 5, stroke=INK, stroke_width=4)
    for i in (1, 2, 3):
        s.stroke(f"M{x - neck * 0.9:.0f} {y + cap * i / 4 - 4:.0f}l{neck * 1.8:.0f} 8", INK, 2)


def _stand(s: Sheet, d: Drawing, x: float, y: float, w: float, h: float, fill: str) -> None:
    """Draw the outline of a table lamp in its box (`x` is the middle)."""
    pen: dict[str, float | str] = {"stroke": INK, "stroke_width": 4.0, "stroke_linejoin": "round"}
    left, low = x - w / 2, y + h
    match d.subject:
        case "desk-paper":
            s.stroke(
                f"M{x - w * 0.2:.0f} {low - h * 0.2:.0f}L{x - w * 0.3:.0f} {low:.0f}"
                f"M{x + w * 0.2:.0f} {low - h * 0.2:.0f}L{x + w * 0.3:.0f} {low:.0f}",
                INK,
                4,
            )
            s.oval(x, y + h * 0.44, w / 2, h * 0.44, fill, **pen)
        case "desk-lantern":
            s.stroke(
                f"M{x - w * 0.38:.0f} {y + h * 0.3:.0f}V{y + h * 0.12:.0f}"
                f"Q{x:.0f} {y - h * 0.1:.0f} {x + w * 0.38:.0f} {y + h * 0.12:.0f}V{y + h * 0.3:.0f}",
                INK,
                4,
            )
            s.rect(left, y + h * 0.24, w, h * 0.76, fill, 16, **pen)
        case "desk-dome":
            s.path(
                f"M{x - w * 0.05:.0f} {y + h * 0.4:.0f}h{w * 0.1:.0f}V{low:.0f}h{-w * 0.1:.0f}z", fill, **pen
            )
            s.path(
                f"M{left:.0f} {y + h * 0.45:.0f}"
                f"A{w / 2:.0f} {h * 0.45:.0f} 0 0 1 {left + w:.0f} {y + h * 0.45:.0f}Z",
                fill,
                **pen,
            )
            s.rect(x - w * 0.22, low - 16, w * 0.44, 16, fill, 6, **pen)
        case "desk-arm":
            s.stroke(
                f"M{left + w * 0.2:.0f} {low - 10:.0f}L{left + w * 0.4:.0f} {y + h * 0.5:.0f}"
                f"L{left + w * 0.78:.0f} {y + h * 0.14:.0f}",
                INK,
                5,
            )
            s.path(
                f"M{left + w * 0.7:.0f} {y:.0f}l{w * 0.14:.0f} {h * 0.04:.0f}"
                f"L{left + w:.0f} {y + h * 0.3:.0f}L{left + w * 0.56:.0f} {y + h * 0.24:.0f}Z",
                fill,
                **pen,
            )
            s.rect(left, low - 18, w * 0.42, 18, fill, 7, **pen)
        case _:
            s.rect(
                x - w * 0.02 if d.subject == "desk-clamp" else left + w * 0.1,
                y + 10,
                14,
                h - 14,
                fill,
                4,
                **pen,
            )
            s.rect(left, y, w, 22, fill, 10, **pen)
            s.rect(
                left + w * 0.4 if d.subject == "desk-clamp" else left, low - 20, w * 0.28, 20, fill, 6, **pen
            )


def dimensions(s: Sheet, d: Drawing) -> None:
    """Draw front and side of the goods with their measures."""
    s.rect(0, 0, 1200, 1200, s.down((0, "#fdfcfa", 1), (1, "#f4f1eb", 1)))
    for i in range(1, 12):
        s.add("path", d=f"M{i * 100} 0V1200M0 {i * 100}H1200", stroke="#ece8e0", stroke_width=1.5)
    deep = d.depth or d.width
    fill = s.round((0, "#ffffff", 1), (1, mix(s.light, "#ffffff", 0.45), 1))
    pen: dict[str, float | str] = {"stroke": INK, "stroke_width": 4.0}
    if d.subject in _BULBS or d.subject.startswith("desk-"):
        k = min(560 / d.width, 700 / d.height)
        w, h = d.width * k, d.height * k
        y = 540 - h / 2
        if d.subject in _BULBS:
            _bulb(s, 560, y, w, h, fill)
        else:
            _stand(s, d, 560, y, w, h, fill)
        _horizontal_measure(
            s, 560 - w / 2, 560 + w / 2, y + h + 80, f"{'d' if d.subject in _BULBS else ''}{d.width} mm", 80
        )
        _vertical_measure(s, y, y + h, 560 + w / 2 + 80, f"{d.height} mm", 80)
        return
    ceiling = d.subject in _ROUND or d.subject.startswith(("ceiling-", "panel-base", "panel-grid"))
    front_h = deep if ceiling else d.height
    side_h = d.height if ceiling else deep
    section = d.subject.startswith("tape-")  # a tape shows its cross-section only
    k = min(660 / d.width, 470 / front_h, 820 / (front_h + side_h))
    w, h, side = d.width * k, front_h * k, max(side_h * k, 10)
    y = 600 - (h + 60 if section else h + side + 190) / 2
    if d.subject in _ROUND:
        s.oval(540, y + h / 2, w / 2, h / 2, fill, **pen)
        s.oval(540, y + h / 2, w * 0.43, h * 0.43, "none", stroke=LINE, stroke_width=2)
        s.stroke(
            f"M{540 - w * 0.56:.0f} {y + h / 2:.0f}H{540 + w * 0.56:.0f}"
            f"M540 {y - h * 0.06:.0f}V{y + h * 1.06:.0f}",
            LINE,
            2,
            stroke_dasharray="18 8 3 8",
        )
    else:
        inset = min(18, h * 0.2)
        s.rect(540 - w / 2, y, w, h, fill, min(14, h * 0.2), **pen)
        s.rect(
            540 - w / 2 + inset,
            y + inset,
            w - 2 * inset,
            h - 2 * inset,
            "none",
            5,
            stroke=LINE,
            stroke_width=2,
        )
        _vertical_measure(s, y, y + h, 540 + w / 2 + 70, f"{front_h} mm", 70)
    if section:
        for i in range(3):
            s.rect(
                540 + (i - 1) * w * 0.28 - w * 0.07,
                y + h * 0.42,
                w * 0.14,
                h * 0.34,
                s.light,
                6,
                stroke=INK,
                stroke_width=2,
            )
        _horizontal_measure(s, 540 - w / 2, 540 + w / 2, y + h + 76, f"{d.width} mm", 76)
        return
    below = y + h + 90
    s.rect(540 - w / 2, below, w, side, "#ffffff", min(8, side / 3), **pen)
    _vertical_measure(s, below, below + side, 540 + w / 2 + 70, f"{side_h} mm", 70)
    _horizontal_measure(
        s,
        540 - w / 2,
        540 + w / 2,
        below + side + 76,
        f"{'d' if d.subject in _ROUND else ''}{d.width} mm",
        76,
    )
