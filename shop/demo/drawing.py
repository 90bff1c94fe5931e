"""The pictures of the demo shop: each lamp in the colour of its light."""

from collections.abc import Callable

from .canvas import EVENING, PAPER, Drawing, Sheet
from .colour import light, mix
from .dimensions import dimensions
from .scenes import bulbs, ceilings, desks, panels, stores, tapes

__all__ = ["SUBJECTS", "VIEWS", "Drawing", "UnknownSubject", "draw", "favicon", "hero", "logo"]

SUBJECTS: dict[str, Callable[[Sheet, Drawing], None]] = {
    **ceilings.SUBJECTS,
    **desks.SUBJECTS,
    **tapes.SUBJECTS,
    **panels.SUBJECTS,
    **bulbs.SUBJECTS,
    **stores.SUBJECTS,
}
VIEWS = ("portrait", "evening", "detail", "dimensions")


class UnknownSubject(ValueError):
    """Raised when a drawing has an unknown subject or view."""


def draw(drawing: Drawing) -> str:
    """Return the picture as an SVG document of 1200 × 1200 units, the same bytes for equal drawings.

    Raises:
        UnknownSubject: the subject is not a key of SUBJECTS or the view not one of VIEWS.
        ValueError: the colour temperature is not within 1,800–10,000 K.
    """
    if drawing.subject not in SUBJECTS:
        raise UnknownSubject(f"No drawing of “{drawing.subject}”. Known: {', '.join(sorted(SUBJECTS))}.")
    if drawing.view not in VIEWS:
        raise UnknownSubject(f"No view “{drawing.view}”. Known: {', '.join(VIEWS)}.")
    room = EVENING if drawing.view == "evening" else PAPER
    sheet = Sheet(repr(drawing), drawing.kelvin, drawing.finish, room)
    if drawing.view == "dimensions":
        dimensions(sheet, drawing)
        return sheet.svg()
    SUBJECTS[drawing.subject](sheet, drawing)
    if drawing.view == "detail":
        x, y = _DETAIL_CENTRES.get(drawing.subject, (600, 560))
        return sheet.svg(transform=f"translate({600 - 1.9 * x:g} {600 - 1.9 * y:g}) scale(1.9)")
    return sheet.svg()


# The centre of the detail view; within 316–884, so that the zoomed picture stays inside the canvas.
_DETAIL_CENTRES = {
    "ceiling-disc": (700, 430),
    "ceiling-square": (760, 740),
    "ceiling-ring": (740, 720),
    "ceiling-drum": (700, 420),
    "ceiling-spots": (420, 330),
    "ceiling-lattice": (720, 720),
    "desk-arm": (700, 420),
    "desk-bar": (500, 480),
    "desk-dome": (600, 560),
    "desk-clamp": (600, 400),
    "desk-lantern": (600, 700),
    "desk-paper": (600, 720),
    "tape-shelf": (800, 480),
    "tape-reel": (560, 780),
    "tape-mirror": (760, 400),
    "tape-cabinet": (800, 640),
    "tape-stair": (640, 560),
    "tape-cove": (620, 320),
    "panel-downlights": (600, 330),
    "panel-linear": (700, 420),
    "panel-flat": (780, 740),
    "bulb-filament": (600, 600),
    "bulb-pear": (600, 520),
    "bulb-tube": (840, 480),
    "power-driver": (700, 800),
    "power-dimmer": (600, 560),
    "power-station": (600, 700),
    "power-socket": (800, 800),
    "emergency-bottles": (600, 640),
    "emergency-pouch": (560, 720),
    "emergency-can": (600, 720),
    "emergency-box": (560, 650),
}


def hero() -> str:
    """Return the picture of the home page, 1600 × 900: one lamp in a dim warm room."""
    s = Sheet("hero", 2700, "brass", EVENING)
    wall = s.round(
        (0, "#5a4c3c", 1),
        (0.35, "#3d342b", 1),
        (0.7, "#262019", 1),
        (1, "#171411", 1),
        cx=0.64,
        cy=0.42,
        r=0.75,
    )
    s.rect(0, 0, 1600, 900, wall)
    s.glow(1040, 330, 900, 640, 0.85)
    s.glow(1040, 420, 420, 380, 0.8)
    # a window at dusk on the left
    s.rect(120, 110, 300, 420, "#0f1013", 4)
    dusk = s.down((0, "#27303f", 1), (0.6, "#46485a", 1), (1, "#7b5f55", 1))
    for x in (132, 276):
        s.rect(x, 122, 132, 192, dusk)
        s.rect(x, 326, 132, 192, dusk)
    s.rect(100, 530, 340, 16, "#2c251e", 3)
    # the floor
    s.rect(0, 770, 1600, 130, s.down((0, "#3a2d20", 1), (1, "#1c1610", 1)))
    s.glow(1040, 800, 760, 110, 0.9)
    # a sideboard
    s.shadow(1040, 776, 460, 34, 0.7)
    front = s.across(
        (0, "#4a3423", 1), (0.3, "#7a5736", 1), (0.55, "#8d6640", 1), (0.8, "#6d4d30", 1), (1, "#46311f", 1)
    )
    s.rect(680, 590, 720, 160, front, 5)
    s.rect(680, 590, 720, 10, s.across((0, "#7a5a38", 1), (0.5, "#e0b277", 1), (1, "#7a5a38", 1)), 3)
    s.path("M920 602V748M1160 602V748", stroke="#3a2819", stroke_width=3)
    s.stroke("M720 750v34M1360 750v34", "#35261a", 14)
    # the lamp: a globe in a brass cup
    s.glow(1040, 592, 380, 40, 1)
    s.shadow(1040, 590, 120, 12, 0.6)
    s.path("M960 590q0-16 80-16t80 16z", s.tube())
    s.rect(1031, 470, 18, 108, s.tube())
    s.path("M976 440q0 44 64 44t64-44z", s.tube())
    s.oval(1040, 360, 122, 122, s.light, filter=s.blur(34), opacity=0.9)
    s.oval(
        1040,
        360,
        112,
        112,
        s.round((0, "#ffffff", 1), (0.5, s.core, 1), (1, mix(s.light, s.core, 0.3), 1), r=0.54),
    )
    # books and a vase beside it
    for x, w, h, colour in (
        (1240, 24, 112, "#3d4a5e"),
        (1266, 30, 130, "#a98f62"),
        (1298, 22, 104, "#8a4f38"),
        (1322, 28, 120, "#6d7a64"),
    ):
        tone = mix(colour, s.light, 0.14)
        s.rect(
            x,
            590 - h,
            w,
            h,
            s.across((0, mix(tone, s.light, 0.5), 1), (0.3, tone, 1), (1, mix(tone, "#14110e", 0.5), 1)),
            2,
        )
    s.path(
        "M760 590q-30-44 10-96v-34h36v34q40 52 10 96z",
        s.across((0, "#241c16", 1), (0.6, "#7b5a48", 1), (0.9, "#d99c72", 1), (1, "#8d5f45", 1)),
    )
    for dx, dy in ((-46, 150), (6, 186), (58, 138)):
        s.stroke(f"M788 464Q{788 + dx * 0.3:g} {464 - dy * 0.6:g} {788 + dx} {464 - dy}", "#5d553c", 3)
        s.oval(788 + dx, 464 - dy, 9, 14, "#8a8158")
    # an armchair in the shade
    s.shadow(360, 812, 260, 26, 0.6)
    s.stroke("M214 780v34M506 780v34", "#1d1611", 14)
    s.path(
        "M226 770L214 520q0-84 84-90h128q80 6 80 90L498 770Z",
        s.across((0, "#231d18", 1), (0.6, "#42362c", 1), (1, "#5e4938", 1)),
    )
    s.rect(236, 652, 252, 74, s.across((0, "#2b241e", 1), (1, "#7d614a", 1)), 28)
    s.rect(236, 716, 252, 70, s.across((0, "#1e1915", 1), (1, "#513f31", 1)), 10)
    s.rect(180, 606, 72, 184, s.across((0, "#1c1814", 1), (1, "#3a3028", 1)), 32)
    s.rect(470, 606, 72, 184, s.across((0, "#4a3b2f", 1), (0.7, "#7a5e47", 1), (1, "#a37c59", 1)), 32)
    return s.svg(1600, 900)


def logo() -> str:
    """Return the shop's logo: a lampshade over its half circle of light, 48 × 48 units."""
    amber = light(2700, 0)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 48 48" width="48" height="48">'
        '<path d="M24 4v7" stroke="#1d1c1a" stroke-width="3" stroke-linecap="round"/>'
        '<path d="M8 26a16 15 0 0 1 32 0z" fill="#1d1c1a"/>'
        f'<path d="M12 30h24a12 12 0 0 1-24 0z" fill="{mix(amber, "#d98a1f", 0.7)}"/></svg>'
    )


def favicon() -> str:
    """Return the logo on a dark background, for light and dark tab bars, 32 × 32 units."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" width="32" height="32">'
        '<rect width="32" height="32" rx="7" fill="#1d1c1a"/>'
        '<path d="M16 4v4" stroke="#faf9f7" stroke-width="2" stroke-linecap="round"/>'
        '<path d="M6 17a10 9.500 0 0 1 20 0z" fill="#faf9f7"/>'
        '<path d="M9 20h14a7 7 0 0 1-14 0z" fill="#ffb347"/></svg>'
    )
