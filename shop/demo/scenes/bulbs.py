"""Bulbs and tubes: hanging from a cord, in their own proportions."""

from ..canvas import Drawing, Sheet
from ..colour import mix

_CAP = "#b4b3b0"


def _rim(s: Sheet) -> str:
    """Return the colour at the edge of opal glass, a little darker, so that neutral light keeps its outline."""
    return mix(s.light, "#857c6e", 0.2)


def _cord(s: Sheet, x: float, y: float, w: float) -> None:
    """Draw the cord and a holder of the finish whose lower edge lies at `y`."""
    s.rect(x - 3, 0, 6, y - 118, "#2a2825")
    s.path(
        f"M{x - 12:g} {y - 124:g}h24l6 24h{w / 2 - 10:g}q8 0 8 10V{y:g}h{-w - 16:g}V{y - 90:g}q0-10 8-10h{w / 2 - 10:g}z",
        s.tube(),
    )


def _screw(s: Sheet, x: float, y: float, w: float, h: float) -> None:
    """Draw a screw cap from `y` downwards."""
    s.rect(x - w / 2, y, w, h, s.tube(_CAP), 3)
    for i in range(3):
        s.path(f"M{x - w / 2:g} {y + h * (0.2 + 0.28 * i):g}l{w:g} 6v5l{-w:g}-6z", "#5f5e5b", opacity=0.45)


def _positions(d: Drawing) -> list[tuple[float, float]]:
    """Return x and the drop of each bulb."""
    return {
        1: [(600.0, 420.0)],
        2: [(390.0, 330.0), (800.0, 520.0)],
    }.get(d.count, [(280.0, 500.0), (600.0, 330.0), (920.0, 580.0)])


def _scale(d: Drawing, typical: int) -> float:
    return min(max(d.width / typical, 0.8), 1.25) * {1: 1.3, 2: 1.05}.get(d.count, 0.9)


def _light(s: Sheet, d: Drawing, y_offset: float, k: float) -> None:
    """Draw the light on the wall, behind the bulbs."""
    s.wall()
    for x, y in _positions(d):
        s.glow(x, y + y_offset * k, 520 * k, 520 * k, 0.9, 0.12)


def pear(s: Sheet, d: Drawing) -> None:
    """Draw opal bulbs of the usual A shape."""
    k = _scale(d, 60)
    _light(s, d, 170, k)
    for x, y in _positions(d):
        _cord(s, x, y, 84 * k)
        neck, r = 44 * k, 124 * k
        s.path(
            f"M{x - neck:g} {y:g}C{x - neck:g} {y + 70 * k:g} {x - r:g} {y + 90 * k:g} {x - r:g} {y + 190 * k:g}"
            f"A{r:g} {r:g} 0 0 0 {x + r:g} {y + 190 * k:g}C{x + r:g} {y + 90 * k:g} {x + neck:g} {y + 70 * k:g} {x + neck:g} {y:g}Z",
            s.round((0, "#ffffff", 1), (0.55, s.core, 1), (0.9, s.light, 1), (1, _rim(s), 1), cy=0.6, r=0.62),
        )
        s.path(
            f"M{x - neck:g} {y:g}h{2 * neck:g}l{6 * k:g} {46 * k:g}q{-neck - 6 * k:g} 16 {-2 * neck - 12 * k:g} 0z",
            s.tube("#e9e6df"),
            opacity=0.95,
        )


def small(s: Sheet, d: Drawing) -> None:
    """Draw small krypton-sized bulbs (E17)."""
    k = _scale(d, 35) * 0.82
    _light(s, d, 130, k)
    for x, y in _positions(d):
        _cord(s, x, y, 62 * k)
        s.path(
            f"M{x - 34 * k:g} {y:g}V{y + 60 * k:g}Q{x - 84 * k:g} {y + 90 * k:g} {x - 84 * k:g} {y + 160 * k:g}"
            f"A{84 * k:g} {84 * k:g} 0 0 0 {x + 84 * k:g} {y + 160 * k:g}Q{x + 84 * k:g} {y + 90 * k:g} {x + 34 * k:g} {y + 60 * k:g}V{y:g}Z",
            s.round((0, "#ffffff", 1), (0.55, s.core, 1), (0.9, s.light, 1), (1, _rim(s), 1), cy=0.62, r=0.6),
        )
        s.rect(x - 40 * k, y, 80 * k, 56 * k, s.tube("#e9e6df"), 6)


def filament(s: Sheet, d: Drawing) -> None:
    """Draw clear glass with glowing filaments: pear or, when tall, the long antique shape."""
    k = _scale(d, 64) * 0.96
    tall = d.height > 130
    _light(s, d, 180, k)
    for x, y in _positions(d):
        _cord(s, x, y, 84 * k)
        _screw(s, x, y, 76 * k, 40 * k)
        r, low = (100 * k, 250 * k) if tall else (122 * k, 200 * k)
        glass = (
            f"M{x - 36 * k:g} {y + 40 * k:g}C{x - 40 * k:g} {y + 100 * k:g} {x - r:g} {y + 110 * k:g} {x - r:g} {y + low:g}"
            f"A{r:g} {r:g} 0 0 0 {x + r:g} {y + low:g}C{x + r:g} {y + 110 * k:g} {x + 40 * k:g} {y + 100 * k:g} {x + 36 * k:g} {y + 40 * k:g}Z"
        )
        s.path(
            glass,
            s.round((0, s.core, 0.75), (0.55, s.light, 0.45), (1, s.light, 0.16), cy=0.58),
            stroke=mix(s.light, "#ffffff", 0.6),
            stroke_width=3,
            stroke_opacity=0.85,
        )
        s.rect(x - 9 * k, y + 40 * k, 18 * k, 70 * k, "#ffffff", 6, opacity=0.5)
        line = "".join(
            f"M{x + dx * 0.35 * k:.0f} {y + 100 * k:.0f}L{x + dx * k:.0f} {y + low - 40 * k:.0f}"
            f"L{x + dx * 0.5 * k:.0f} {y + low + 48 * k:.0f}"
            for dx in (-46, -16, 16, 46)
        )
        s.stroke(line, s.light, 16 * k, opacity=0.55, filter=s.blur(7))
        s.stroke(line, mix(s.core, "#ffffff", 0.4), 5 * k)
        s.stroke(
            f"M{x - r * 0.72:g} {y + low + 10 * k:g}q{-6 * k:g} {-60 * k:g} {34 * k:g} {-100 * k:g}",
            "#ffffff",
            7 * k,
            opacity=0.65,
        )


def globe(s: Sheet, d: Drawing) -> None:
    """Draw opal globes."""
    k = _scale(d, 95)
    _light(s, d, 180, k)
    for x, y in _positions(d):
        _cord(s, x, y, 84 * k)
        r = 152 * k
        s.rect(x - 44 * k, y, 88 * k, 40 * k, s.tube("#e9e6df"), 6)
        s.oval(
            x,
            y + 24 * k + r,
            r,
            r,
            s.round(
                (0, "#ffffff", 1),
                (0.5, s.core, 1),
                (0.9, mix(s.light, s.core, 0.3), 1),
                (1, _rim(s), 1),
                r=0.54,
            ),
        )


def reflector(s: Sheet, d: Drawing) -> None:
    """Draw reflector bulbs that throw a cone downwards."""
    k = _scale(d, 70) * 1.05
    s.wall()
    for x, y in _positions(d):
        low = y + 220 * k
        s.beam(
            f"M{x - 104 * k:g} {low - 6:g}H{x + 104 * k:g}L{x + 260 * k:g} 1160H{x - 260 * k:g}Z", 0.95, 24
        )
        s.glow(x, low + 20, 280 * k, 180 * k, 0.8)
    for x, y in _positions(d):
        low = y + 220 * k
        _cord(s, x, y, 84 * k)
        _screw(s, x, y, 74 * k, 46 * k)
        s.path(
            f"M{x - 42 * k:g} {y + 46 * k:g}h{84 * k:g}C{x + 50 * k:g} {y + 130 * k:g} {x + 112 * k:g} {y + 150 * k:g} {x + 116 * k:g} {low - 14:g}H{x - 116 * k:g}C{x - 112 * k:g} {y + 150 * k:g} {x - 50 * k:g} {y + 130 * k:g} {x - 42 * k:g} {y + 46 * k:g}Z",
            s.tube("#dad8d3"),
        )
        s.path(
            f"M{x - 116 * k:g} {low - 16:g}h{232 * k:g}q-6 {40 * k:g} {-116 * k:g} {40 * k:g}t{-116 * k:g} {-40 * k:g}z",
            s.lit(),
        )


def candle(s: Sheet, d: Drawing) -> None:
    """Draw candle bulbs that stand on a chandelier's arms."""
    s.wall()
    n = max(1, min(d.count, 5))
    k = 1.25 if n == 1 else 0.9
    for i in range(n):
        x = 600 + (i - (n - 1) / 2) * 230
        s.glow(x, 480 + abs(i - (n - 1) / 2) * 50, 330 * k, 360 * k, 1)
    arm = f"M600 1010Q{600 - (n - 1) * 70} 1010 {600 - (n - 1) * 115} {760 + (n - 1) * 25}M600 1010Q{600 + (n - 1) * 70} 1010 {600 + (n - 1) * 115} {760 + (n - 1) * 25}"
    s.stroke(arm, s.low, 18)
    s.stroke(arm, s.finish, 11)
    s.rect(588, 700, 24, 500, s.tube(), 10)
    for i in range(n):
        x, y = 600 + (i - (n - 1) / 2) * 230, 640 + abs(i - (n - 1) / 2) * 50
        if 0 < i < n - 1 and i != (n - 1) / 2:
            s.stroke(f"M{x} {y + 110}Q{x} 960 600 960", s.finish, 11)
        s.path(f"M{x - 70 * k:g} {y + 120:g}q{70 * k:g} 40 {140 * k:g} 0z", s.tube())
        s.rect(x - 26 * k, y, 52 * k, 122, s.tube("#ece9e3"), 6)
        s.path(
            f"M{x - 30 * k:g} {y:g}C{x - 76 * k:g} {y - 90 * k:g} {x - 50 * k:g} {y - 170 * k:g} {x:g} {y - 250 * k:g}"
            f"C{x + 50 * k:g} {y - 170 * k:g} {x + 76 * k:g} {y - 90 * k:g} {x + 30 * k:g} {y:g}Z",
            s.round((0, "#ffffff", 1), (0.5, s.core, 1), (1, s.light, 1), cy=0.66, r=0.6),
        )
        s.rect(x - 34 * k, y - 10, 68 * k, 26, s.tube("#b98f4e"), 4)


def tube(s: Sheet, d: Drawing) -> None:
    """Draw straight tubes, leaning as they are seen in a workroom."""
    s.wall()
    n = max(1, min(d.count, 3))
    s.begin(transform="rotate(-24 600 600)")
    for i in range(n):
        y = 600 + (i - (n - 1) / 2) * 190
        half = 540 if d.width > 900 else 400
        s.rect(
            600 - half - 90,
            y - 130,
            2 * half + 180,
            260,
            s.light,
            130,
            opacity=0.5 if n > 1 else 0.75,
            filter=s.blur(60),
        )
        s.rect(600 - half, y + 26, 2 * half, 30, "#1b1712", 14, opacity=0.22, filter=s.blur(12))
        s.rect(
            600 - half,
            y - 27,
            2 * half,
            54,
            s.down(
                (0, s.light, 1), (0.25, s.core, 1), (0.5, "#ffffff", 1), (0.8, s.core, 1), (1, s.light, 1)
            ),
            6,
        )
        for x in (600 - half - 34, 600 + half - 26):
            s.rect(x, y - 28, 60, 56, s.down((0, "#f4f3f1", 1), (0.4, "#d2d1ce", 1), (1, "#8a8987", 1)), 5)
        for x in (600 - half - 62, 600 + half + 34):
            s.rect(x, y - 15, 28, 7, "#b98f4e", 3)
            s.rect(x, y + 8, 28, 7, "#b98f4e", 3)
    s.end()


def puck(s: Sheet, d: Drawing) -> None:
    """Draw flat GX53 bulbs: one from the front, one from the side."""
    s.wall()
    s.desk(860)
    s.glow(520, 520, 620, 620, 1, 0.2)
    s.glow(600, 900, 560, 110, 0.7)
    s.shadow(540, 872, 280, 26, 0.4)
    s.oval(520, 560, 300, 300, s.tube("#e4e1da"))
    s.oval(512, 560, 282, 286, s.across((0, "#faf9f6", 1), (1, "#bdb9b0", 1)))
    s.oval(510, 560, 258, 264, s.lit())
    s.shadow(930, 946, 190, 22, 0.45)
    s.rect(760, 850, 330, 86, s.down((0, "#f7f5f1", 1), (0.5, "#d9d6cf", 1), (1, "#a7a39b", 1)), 20)
    s.rect(800, 814, 250, 40, s.down((0, "#c9c6bf", 1), (1, "#9b978f", 1)), 8)
    for x in (840, 990):
        s.rect(x, 780, 20, 36, s.tube("#b98f4e"), 5)
        s.rect(x - 5, 774, 30, 14, s.tube("#b98f4e"), 6)


SUBJECTS = {
    "bulb-pear": pear,
    "bulb-small": small,
    "bulb-filament": filament,
    "bulb-globe": globe,
    "bulb-reflector": reflector,
    "bulb-candle": candle,
    "bulb-tube": tube,
    "bulb-puck": puck,
}
