"""Ceiling lights, seen from below or against the wall."""

from ..canvas import Drawing, Sheet
from ..colour import mix


def _ceiling(s: Sheet) -> None:
    """Draw a room seen from below: ceiling above, wall below, the edge where they meet."""
    s.wall()
    wall = mix(s.room.wall, s.room.corner, 0.75)
    s.path("M0 960L170 840H1030L1200 960V1200H0Z", s.down((0, wall, 1), (1, s.room.corner, 1)))
    s.stroke(
        "M0 960L170 840H1030L1200 960M170 840V0M1030 840V0", mix(s.room.corner, "#1a1714", 0.14), 2, opacity=0
    )
    s.path(
        "M0 960L170 840H1030L1200 960V985L1022 860H178L0 985Z", mix(s.room.wall, "#ffffff", 0.3), opacity=0.55
    )


def _radius(d: Drawing) -> float:
    """Return a half width in units for a lamp of 300–900 mm."""
    return 170 + min(d.width, 1000) * 0.3


def disc(s: Sheet, d: Drawing) -> None:
    """Draw a round acrylic shade on the ceiling with a rim of the finish."""
    _ceiling(s)
    r = _radius(d)
    s.glow(600, 440, r * 2.3, r * 1.6, 1, 0.3)
    s.glow(600, 860, 620, 330, 0.5)
    s.oval(600, 462, r * 1.05, r * 0.66, "#1b1712", opacity=0.12, filter=s.blur(20))
    s.oval(
        600, 440, r, r * 0.62, s.across((0, s.low, 1), (0.3, s.finish, 1), (0.5, s.high, 1), (1, s.low, 1))
    )
    s.oval(600, 446, r * 0.95, r * 0.575, s.lit())
    s.oval(600, 470, r * 0.95, r * 0.56, s.lit())
    s.oval(600, 425, r * 0.6, r * 0.22, "#ffffff", opacity=0.5, filter=s.blur(24))


def square(s: Sheet, d: Drawing) -> None:
    """Draw a square shade in a frame, from straight below."""
    s.wall()
    r = _radius(d) * 0.92
    s.glow(600, 600, r * 2.4, r * 2.4, 1, 0.36)
    s.rect(600 - r - 8, 600 - r + 16, 2 * r + 16, 2 * r + 16, "#1b1712", 40, opacity=0.28, filter=s.blur(22))
    s.rect(600 - r, 600 - r, 2 * r, 2 * r, s.down((0, s.high, 1), (0.5, s.finish, 1), (1, s.low, 1)), 26)
    inner = r * 0.86
    s.rect(600 - inner, 600 - inner, 2 * inner, 2 * inner, s.low, 18)
    s.rect(604 - inner, 604 - inner, 2 * inner - 8, 2 * inner - 8, s.lit(), 16)
    grain = mix(s.finish, "#1a1714", 0.25)
    for i in range(3):
        y = 600 - r + (r - inner) * (0.25 + 0.25 * i)
        s.stroke(
            f"M{600 - r + 30:g} {y:.0f}q{r * 0.6:.0f} {6 - 4 * i} {2 * r - 60:.0f} 0", grain, 1.2, opacity=0.5
        )
        s.stroke(
            f"M{600 - r + 30:g} {1200 - y:.0f}q{r:.0f} {4 * i - 5} {2 * r - 60:.0f} 0",
            grain,
            1.2,
            opacity=0.5,
        )


def ring(s: Sheet, d: Drawing) -> None:
    """Draw a ring of light around a plate that it washes."""
    s.wall()
    r = _radius(d)
    s.glow(600, 600, r * 2.2, r * 2.2, 1, 0.36)
    s.oval(600, 616, r * 1.02, r * 1.02, "#1b1712", opacity=0.22, filter=s.blur(22))
    s.oval(600, 600, r, r, s.round((0.8, s.finish, 1), (0.95, s.high, 1), (1, s.low, 1)))
    s.oval(
        600,
        600,
        r * 0.86,
        r * 0.86,
        "none",
        stroke=s.light,
        stroke_width=r * 0.2,
        opacity=0.8,
        filter=s.blur(14),
    )
    s.oval(600, 600, r * 0.86, r * 0.86, "none", stroke=s.core, stroke_width=r * 0.15)
    s.oval(
        600,
        600,
        r * 0.79,
        r * 0.79,
        s.round((0, "#bdb5a9", 1), (0.6, mix("#c9c2b7", s.light, 0.3), 1), (1, s.light, 1)),
    )
    s.oval(600, 600, r * 0.55, r * 0.55, "none", stroke="#8b8378", stroke_width=2, opacity=0.25)
    s.oval(600, 600, r * 0.13, r * 0.13, s.down((0, s.high, 1), (1, s.low, 1)))


def drum(s: Sheet, d: Drawing) -> None:
    """Draw a fabric drum that hangs close under the ceiling."""
    s.wall()
    r = _radius(d) * 1.05
    h = min(max(d.height * 1.1, 170), 420)
    top = 270.0
    s.rect(0, 0, 1200, 130, s.down((0, s.room.wall, 1), (1, mix(s.room.wall, "#ffffff", 0.25), 1)))
    s.glow(600, 140, r * 2.2, 200, 1)
    s.glow(600, top + h * 0.6, r * 2.6, 620, 0.85)
    s.beam(f"M{600 - r:g} {top + h:g}H{600 + r:g}L1150 1200H50Z", 0.75, 36)
    s.rect(560, 122, 80, 22, s.tube("#b9bab9"), 6)
    s.rect(594, 140, 12, top - 130, s.tube("#b9bab9"))
    cloth = s.across(
        (0, mix(s.finish, "#1a1714", 0.22), 1), (0.18, mix(s.finish, s.light, 0.5), 1),
        (0.5, s.core, 1), (0.82, mix(s.finish, s.light, 0.5), 1), (1, mix(s.finish, "#1a1714", 0.22), 1),
    )  # fmt: skip
    s.path(
        f"M{600 - r:g} {top:g}Q600 {top - 26:g} {600 + r:g} {top:g}V{top + h:g}Q600 {top + h + 44:g} {600 - r:g} {top + h:g}Z",
        cloth,
    )
    weave = s.across((0, s.low, 0.5), (0.5, s.finish, 0.15), (1, s.low, 0.5))
    for i in range(1, 6):
        y = top + h * i / 6
        s.path(f"M{600 - r:g} {y:.0f}q{r:g} 30 {2 * r:g} 0v2q{-r:g} 30 {-2 * r:g} 0Z", weave)
    s.path(
        f"M{600 - r:g} {top + h:g}Q600 {top + h + 44:g} {600 + r:g} {top + h:g}"
        f"Q600 {top + h - 10:g} {600 - r:g} {top + h:g}Z",
        s.core,
    )


def spots(s: Sheet, d: Drawing) -> None:
    """Draw a rail with turning spots that graze the wall and one framed sheet."""
    s.wall()
    s.rect(0, 0, 1200, 150, mix(s.room.wall, "#ffffff", 0.22))
    s.rect(0, 148, 1200, 4, mix(s.room.corner, "#1a1714", 0.2), opacity=0.4)
    n = max(2, min(d.count, 6))
    step = 860 / n
    xs = [170 + step * (i + 0.5) for i in range(n)]
    for i, x in enumerate(xs):
        lean = (-60, 20, -15, 60, 30, -30)[i]
        s.beam(
            f"M{x - 30 + lean / 5:.0f} 370H{x + 30 + lean / 5:.0f}L{x + 190 + lean:.0f} 1130H{x - 190 + lean:.0f}Z",
            0.85,
            26,
        )
        s.glow(x + lean * 0.6, 780, 250, 400, 0.55)
    s.rect(170, 196, 860, 20, s.down((0, s.high, 1), (0.4, s.finish, 1), (1, s.low, 1)), 8)
    s.rect(520, 150, 160, 48, s.down((0, s.finish, 1), (1, s.low, 1)), 8)
    for i, x in enumerate(xs):
        turn = (10, -3, 3, -10, -5, 5)[i]
        s.begin(transform=f"rotate({turn} {x:.0f} 230)")
        s.rect(x - 6, 214, 12, 40, s.tube())
        s.rect(x - 42, 246, 84, 116, s.tube(), 14)
        s.oval(x, 360, 41, 12, s.core)
        s.end()
    s.rect(480, 610, 240, 320, mix(s.room.wall, "#1a1714", 0.55), opacity=0.25, filter=s.blur(14))
    s.rect(480, 600, 240, 320, mix("#c79f6d", s.room.corner, 0.25))
    s.rect(492, 612, 216, 296, mix("#fbf8f2", s.light, 0.25))
    s.oval(600, 735, 52, 52, mix("#b5694a", s.light, 0.2), opacity=0.85)
    s.path("M530 850q70-60 140 0", "#6d7a6c", opacity=0.8)


def lattice(s: Sheet, d: Drawing) -> None:
    """Draw washi paper behind a wooden lattice, from straight below."""
    s.wall()
    r = _radius(d) * 0.95
    s.glow(600, 600, r * 2.4, r * 2.4, 1, 0.36)
    a, w = 600 - r, 2 * r
    s.rect(a - 4, a + 18, w + 8, w + 8, "#1b1712", 8, opacity=0.3, filter=s.blur(20))
    s.rect(a, a, w, w, s.down((0, s.high, 1), (1, s.low, 1)), 6)
    s.rect(a + 24, a + 24, w - 48, w - 48, s.round((0, "#ffffff", 1), (0.4, s.core, 1), (1, s.light, 1)))
    cells = max(3, min(d.count, 6))
    bar = s.across((0, s.low, 1), (0.5, s.finish, 1), (1, s.low, 1))
    cross = s.down((0, s.high, 1), (0.5, s.finish, 1), (1, s.low, 1))
    for i in range(1, cells):
        at = a + 24 + (w - 48) * i / cells
        s.rect(at - 6, a + 20, 12, w - 40, bar)
        s.rect(a + 20, at - 5, w - 40, 10, cross)
    half = (w - 48) / cells / 2
    for i in range(cells):
        at = a + 24 + (w - 48) * i / cells + half
        if i in (0, cells - 1):
            s.rect(at - 3, a + 20, 6, w - 40, bar)
            s.rect(a + 20, at - 3, w - 40, 6, cross)


SUBJECTS = {
    "ceiling-disc": disc,
    "ceiling-square": square,
    "ceiling-ring": ring,
    "ceiling-drum": drum,
    "ceiling-spots": spots,
    "ceiling-lattice": lattice,
}
