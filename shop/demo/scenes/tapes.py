"""Tape lights: light along an edge."""

from ..canvas import Drawing, Sheet
from ..colour import mix


def _line(s: Sheet, x: float, y: float, w: float, thick: float = 9) -> None:
    """Draw the visible line of light with its bloom."""
    s.rect(x - 20, y - 14, w + 40, thick + 28, s.light, 20, opacity=0.55, filter=s.blur(14))
    s.rect(x, y, w, thick, s.core, thick / 2)


def _books(s: Sheet, x: float, y: float) -> None:
    """Draw a row of books that stands on `y`."""
    spines = (
        (34, 190, "#3d4a5e"),
        (46, 214, "#cfc0a4"),
        (28, 176, "#b5694a"),
        (40, 206, "#8d9a84"),
        (30, 184, "#ece9e3"),
    )
    for w, h, colour in spines:
        tone = mix(colour, s.light, 0.16)
        s.rect(
            x,
            y - h,
            w,
            h,
            s.across((0, mix(tone, "#1a1714", 0.3), 1), (0.4, tone, 1), (1, mix(tone, "#1a1714", 0.35), 1)),
            3,
        )
        s.rect(x + 6, y - h + 24, w - 12, 5, "#f5efe2", opacity=0.4)
        x += w + 2


def _vase(s: Sheet, x: float, y: float, colour: str) -> None:
    """Draw a vase with a twig that stands on `y`."""
    for dx, dy in ((-70, 250), (8, 300), (64, 236)):
        s.stroke(f"M{x} {y - 130:g}Q{x + dx * 0.2:g} {y - dy * 0.7:g} {x + dx:g} {y - dy:g}", "#6b6a52", 4)
        s.oval(x + dx, y - dy, 13, 18, mix("#7d8463", s.light, 0.2))
        s.oval(x + dx * 0.55, y - dy * 0.8, 11, 16, mix("#7d8463", s.light, 0.1))
    s.path(f"M{x - 18:g} {y - 146:g}h36q0 34 30 62q22 40-12 84h-72q-34-44-12-84q30-28 30-62z", s.tube(colour))


def shelf(s: Sheet, d: Drawing) -> None:
    """Draw two shelves with the tape under each edge."""
    s.wall()
    wood = s.down((0, s.high, 1), (0.3, s.finish, 1), (1, s.low, 1))
    for y, reach in ((470, 420), (880, 420)):
        s.glow(600, y + 40, 720, reach, 1)
        s.path(
            f"M130 {y + 40}H1070L1120 {y + 330}H80Z",
            s.down((0, s.light, 0.8), (1, s.light, 0)),
            filter=s.blur(20),
        )
    _books(s, 190, 470)
    _vase(s, 900, 470, "#b5694a")
    s.path("M300 880v-70q0-60 90-60t90 60v70q-90 22-180 0z", s.tube("#d8ccb6"))
    s.oval(390, 806, 90, 24, mix("#d8ccb6", "#1a1714", 0.35))
    s.rect(660, 690, 190, 190, mix("#c79f6d", s.light, 0.1), 4)
    s.rect(676, 706, 158, 158, mix("#f8f4ea", s.light, 0.3))
    s.path("M676 840l50-70 36 40 30-26 42 56z", "#7d8b80", opacity=0.8)
    for y in (470, 880):
        s.rect(110, y, 980, 36, wood, 3)
        _line(s, 124, y + 37, 952, 7)


def reel(s: Sheet, d: Drawing) -> None:
    """Draw a reel with its first turn unrolled and lit."""
    s.wall()
    s.desk(820)
    s.glow(600, 720, 680, 560, 0.8)
    s.shadow(520, 930, 380, 50, 0.35)
    cx, cy = 480, 610
    rim = s.round((0, s.finish, 1), (0.9, s.high, 1), (1, s.low, 1))
    s.oval(cx, cy, 300, 300, rim)
    for r in range(272, 150, -20):
        s.oval(cx, cy, r, r, "none", stroke="#f3efe6", stroke_width=17)
        s.oval(cx, cy, r, r, "none", stroke=s.light, stroke_width=12, opacity=0.75)
        s.oval(cx, cy, r, r, "none", stroke=s.core, stroke_width=9, stroke_dasharray="10 14")
    s.oval(cx, cy, 142, 142, rim)
    s.oval(cx, cy, 62, 62, mix(s.room.wall, s.room.corner, 0.6))
    for x, y in ((cx, cy - 102), (cx + 88, cy + 51), (cx - 88, cy + 51)):
        s.oval(x, y, 24, 24, mix(s.room.wall, s.room.corner, 0.6))
    tail = "M490 892C640 900 720 880 820 906S1000 960 1100 920"
    s.stroke(tail, s.light, 90, opacity=0.35, filter=s.blur(26))
    s.stroke(tail, "#efeae0", 34)
    s.stroke(tail, s.light, 24, opacity=0.6)
    s.add("path", d=tail, fill="none", stroke=s.core, stroke_width=16, stroke_dasharray="16 26")


def mirror(s: Sheet, d: Drawing) -> None:
    """Draw a round mirror with the tape behind its rim, over a basin."""
    s.wall()
    r = 250 + min(d.width, 600) * 0.12
    s.glow(600, 510, r * 2.3, r * 2.3, 1, 0.36)
    s.oval(600, 510, r + 16, r + 16, s.core, filter=s.blur(12))
    s.oval(600, 510, r, r, s.low)
    glass = s.across((0, "#aeb3b2", 1), (0.45, "#dfe2df", 1), (0.5, "#c9cdca", 1), (1, "#a2a7a5", 1))
    s.oval(600, 510, r - 8, r - 8, glass)
    s.path(
        f"M{600 - r * 0.62:g} {510 + r * 0.5:g}L{600 + r * 0.4:g} {510 - r * 0.72:g}L{600 + r * 0.56:g} {510 - r * 0.58:g}L{600 - r * 0.46:g} {510 + r * 0.66:g}Z",
        "#ffffff",
        opacity=0.22,
    )
    s.desk(1000)
    s.glow(600, 1020, 520, 90, 0.8)
    s.path(
        "M360 958H840Q836 1046 740 1062H460Q364 1046 360 958Z",
        s.across((0, "#c9c4ba", 1), (0.4, "#fbf9f5", 1), (1, "#bdb7ac", 1)),
    )
    s.oval(600, 958, 240, 16, mix("#f6f3ec", s.light, 0.2))
    s.stroke("M930 1010V880q0-36-44-36h-40v22", "#8c8b88", 18)
    s.stroke("M926 1010V880q0-30-40-30", "#dcdad5", 5)


def cabinet(s: Sheet, d: Drawing) -> None:
    """Draw kitchen cabinets with an aluminium profile beneath them."""
    s.wall()
    front = s.down((0, s.high, 1), (0.5, s.finish, 1), (1, mix(s.finish, s.low, 0.5), 1))
    tile = mix(s.room.wall, s.room.corner, 0.7)
    for y in range(520, 860, 85):
        s.rect(0, y, 1200, 2.5, tile, opacity=0.8)
        for x in range(70 if y % 170 else 0, 1200, 150):
            s.rect(x, y, 2.5, 85, tile, opacity=0.8)
    s.path(
        "M60 470H1140L1190 880H10Z",
        s.down((0, s.core, 0.95), (0.5, s.light, 0.6), (1, s.light, 0.1)),
        filter=s.blur(18),
        opacity=0.9,
    )
    s.glow(600, 900, 700, 160, 0.9)
    for i in range(3):
        s.rect(8 + i * 398, 0, 388, 448, front, 3)
        s.rect(8 + i * 398 + (340 if i < 2 else 30), 330, 12, 84, s.tube("#b9bab9"), 6)
    s.rect(0, 448, 1200, 16, s.low)
    s.rect(90, 456, 1020, 22, s.down((0, "#8f908f", 1), (1, "#d9d9d6", 1)), 5)
    _line(s, 104, 474, 992, 9)
    s.desk(880)
    s.shadow(330, 888, 110, 14, 0.4)
    s.path("M240 700q0-26 90-26t90 26v170q-90 26-180 0z", s.tube("#3d4a5e"))
    s.rect(322, 646, 16, 28, "#b98f4e", 6)
    s.oval(330, 694, 88, 18, "#56647a")
    for x, h, colour in ((800, 170, "#cfc0a4"), (880, 130, "#ece9e3"), (950, 100, "#b5694a")):
        s.shadow(x + 32, 886, 50, 9, 0.4)
        s.rect(x, 884 - h, 64, h, s.tube(colour), 8)
        s.rect(x - 2, 878 - h, 68, 22, s.tube("#c79f6d"), 5)


def stair(s: Sheet, d: Drawing) -> None:
    """Draw stairs with light under every tread."""
    s.wall()
    s.glow(640, 640, 720, 700, 0.45)
    for i in range(5):
        y, x = 330 + i * 170, 640 - i * 150
        riser = mix(s.room.wall, s.room.corner, 0.35 + i * 0.1)
        s.rect(
            x,
            y,
            1300 - x,
            172,
            s.down((0, mix(riser, s.light, 0.85), 1), (0.55, mix(riser, s.light, 0.25), 1), (1, riser, 1)),
        )
        s.rect(x - 24, y - 26, 1300 - x, 30, s.down((0, s.high, 1), (0.3, s.finish, 1), (1, s.low, 1)), 3)
        _line(s, x, y + 4, 1230 - x, 7)
        s.rect(x - 24, y - 28, 1300, 4, mix(s.high, s.light, 0.5), opacity=0.7)


def cove(s: Sheet, d: Drawing) -> None:
    """Draw a curtain box whose tape washes ceiling and curtain."""
    s.wall()
    s.rect(
        0,
        0,
        1200,
        190,
        s.down((0, mix(s.room.wall, s.room.corner, 0.4), 1), (1, mix(s.room.wall, s.light, 0.75), 1)),
    )
    s.glow(600, 180, 900, 190, 1)
    for i in range(16):
        x = 75 * i
        fold = s.across(
            (0, mix(s.finish, "#1a1714", 0.2), 1), (0.45, s.high, 1), (1, mix(s.finish, "#1a1714", 0.28), 1)
        )
        s.rect(x, 250, 76, 840, fold)
    s.rect(
        0,
        250,
        1200,
        840,
        s.down((0, s.core, 0.9), (0.2, s.light, 0.7), (0.7, s.light, 0.12), (1, "#1a1714", 0.12)),
    )
    s.rect(0, 1088, 1200, 112, s.down((0, s.room.edge, 1), (1, s.room.desk, 1)))
    box = s.down((0, mix(s.room.wall, "#ffffff", 0.5), 1), (1, mix(s.room.wall, s.room.corner, 0.5), 1))
    s.rect(0, 190, 1200, 104, box)
    s.rect(0, 184, 1200, 10, s.core, filter=s.blur(4))
    s.rect(0, 290, 1200, 9, s.core, filter=s.blur(4))
    s.shadow(300, 1120, 230, 26, 0.35)
    s.path(
        "M150 1110V960q0-40 40-40h220q40 0 40 40v150z",
        s.across((0, "#8b7a62", 1), (0.4, "#b7a58a", 1), (1, "#7a6a54", 1)),
    )
    s.rect(130, 1010, 340, 90, s.down((0, "#c3b194", 1), (1, "#95836a", 1)), 30)


SUBJECTS = {
    "tape-shelf": shelf,
    "tape-reel": reel,
    "tape-mirror": mirror,
    "tape-cabinet": cabinet,
    "tape-stair": stair,
    "tape-cove": cove,
}
