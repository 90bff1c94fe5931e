"""Panels, base lights and downlights."""

from ..canvas import Drawing, Sheet
from ..colour import mix


def grid(s: Sheet, d: Drawing) -> None:
    """Draw panels in a grid ceiling that runs away from the eye."""
    s.wall()
    horizon, eye = 720.0, 600.0
    rows = (0.0, 270.0, 445.0, 560.0, 640.0)
    s.rect(
        0,
        640,
        1200,
        560,
        s.down((0, mix(s.room.wall, s.light, 0.5), 1), (0.5, s.room.wall, 1), (1, s.room.corner, 1)),
    )

    def at(lane: float, y: float) -> float:
        return eye + lane * 360 * (horizon - y) / horizon

    for row in range(4):
        top, bottom = rows[row], rows[row + 1]
        for lane in range(-6, 6):
            if at(lane + 1, bottom) < 0 or at(lane, bottom) > 1200:
                continue
            lit = (row in (0, 2) and lane % 2 == 0) or (row in (1, 3) and lane % 2 and d.count > 3)
            gap = 6
            shape = (
                f"M{at(lane, top) + gap:.0f} {top + gap:.0f}L{at(lane + 1, top) - gap:.0f} {top + gap:.0f}"
                f"L{at(lane + 1, bottom) - gap:.0f} {bottom - gap / 2:.0f}L{at(lane, bottom) + gap:.0f} {bottom - gap / 2:.0f}Z"
            )
            if lit:
                s.path(shape, s.light, opacity=0.7, filter=s.blur(22))
                s.path(shape, s.down((0, "#ffffff", 1), (1, s.core, 1)), stroke=s.high, stroke_width=5)
            else:
                s.path(
                    shape,
                    mix(s.room.wall, s.light, 0.12 + row * 0.08),
                    stroke=mix(s.room.corner, "#ffffff", 0.25),
                    stroke_width=2,
                )
    s.glow(600, 700, 640, 240, 0.6)
    s.rect(0, 1010, 1200, 190, s.down((0, s.room.edge, 1), (1, s.room.desk, 1)))
    s.glow(600, 1100, 620, 90, 0.6)
    for x in (240, 760):
        s.rect(x, 880, 300, 16, s.down((0, "#d9c7a8", 1), (1, "#a18a68", 1)), 3)
        s.stroke(f"M{x + 24} 896l-14 190M{x + 276} 896l14 190", "#6d675d", 8)
        s.rect(x + 90, 790, 120, 76, "#3a3835", 5)
        s.rect(x + 142, 866, 16, 16, "#3a3835")


def linear(s: Sheet, d: Drawing) -> None:
    """Draw a long bar that hangs over a dining table."""
    s.wall()
    w = 420 + min(d.width, 1500) * 0.32
    x, y = 600 - w / 2, 400
    s.glow(600, 300, w * 0.75, 280, 0.75)
    s.glow(600, 700, 700, 480, 0.6)
    s.beam(f"M{x:g} {y + 36:g}H{x + w:g}L{min(x + w + 110, 1200):g} 900H{max(x - 110, 0):g}Z", 0.85, 28)
    for at in (x + w * 0.16, x + w * 0.84):
        s.stroke(f"M{at:g} 0V{y}", s.low, 3)
    s.rect(x, y, w, 34, s.down((0, s.high, 1), (0.45, s.finish, 1), (1, s.low, 1)), 8)
    s.rect(x + 8, y + 28, w - 16, 12, s.core, 5)
    s.rect(x + 8, y - 4, w - 16, 5, s.core, opacity=0.9)
    s.rect(
        150,
        880,
        900,
        36,
        s.down((0, mix(s.room.desk, s.light, 0.6), 1), (0.3, s.room.desk, 1), (1, s.room.edge, 1)),
        5,
    )
    s.path("M220 916H262L246 1200H206ZM938 916H980L994 1200H954Z", s.room.edge)
    s.glow(600, 884, 460, 34, 0.9)
    s.path("M500 812H700Q690 884 640 884H560Q510 884 500 812Z", s.tube("#8d9a84"))
    for cx, cy, colour in ((548, 806, "#c8893f"), (600, 796, "#b5694a"), (652, 806, "#c79a4a")):
        s.oval(cx, cy, 34, 32, s.round((0, mix(colour, "#ffffff", 0.45), 1), (1, colour, 1), cx=0.4, cy=0.25))
    s.path("M498 812H702L699 832H501Z", mix("#8d9a84", "#ffffff", 0.25))
    for cx in (320, 880):
        s.oval(cx, 876, 78, 8, mix("#f5f2ec", s.light, 0.2))


def base(s: Sheet, d: Drawing) -> None:
    """Draw a base light on the ceiling of a workroom, running away from the eye."""
    s.wall()
    s.path(
        "M0 760L330 560H870L1200 760V1200H0Z",
        s.down((0, mix(s.room.wall, s.light, 0.45), 1), (1, s.room.corner, 1)),
    )
    s.path(
        "M0 760L330 560H870L1200 760V774L868 572H332L0 774Z", mix(s.room.wall, "#ffffff", 0.4), opacity=0.6
    )
    s.glow(600, 330, 620, 420, 1, 0.15)
    wide = 90 + min(d.depth or 150, 400) * 0.45
    far = wide * 0.42
    s.path(
        f"M{600 - wide - 26:g} 96L{600 + wide + 26:g} 96L{600 + far + 10:g} 516H{600 - far - 10:g}Z",
        "#1b1712",
        opacity=0.22,
        filter=s.blur(18),
    )
    s.path(
        f"M{600 - wide - 22:g} 80H{600 + wide + 22:g}L{600 + far + 10:g} 500H{600 - far - 10:g}Z",
        s.across((0, s.low, 1), (0.15, s.high, 1), (0.85, s.finish, 1), (1, s.low, 1)),
    )
    s.path(
        f"M{600 - wide:g} 96H{600 + wide:g}L{600 + far:g} 488H{600 - far:g}Z",
        s.across((0, s.light, 1), (0.3, s.core, 1), (0.5, "#ffffff", 1), (0.7, s.core, 1), (1, s.light, 1)),
    )
    s.glow(600, 820, 560, 240, 0.55)
    s.rect(250, 700, 230, 300, mix(s.room.corner, "#1a1714", 0.12), 3)
    s.rect(262, 712, 206, 288, mix(s.room.wall, s.light, 0.4), 2)
    s.oval(444, 860, 8, 8, "#8c8b88")
    s.rect(640, 760, 330, 10, "#a18a68")
    s.rect(640, 860, 330, 10, "#a18a68")
    for x, w, y, h, colour in (
        (656, 70, 690, 70, "#cfc0a4"),
        (740, 90, 674, 86, "#3d4a5e"),
        (846, 100, 700, 60, "#8d9a84"),
        (660, 120, 780, 80, "#b5694a"),
        (800, 140, 796, 64, "#ece9e3"),
    ):
        s.rect(x, y, w, h, mix(colour, s.light, 0.2), 4)
    s.rect(0, 1000, 1200, 200, s.down((0, s.room.edge, 1), (1, s.room.desk, 1)))


def downlights(s: Sheet, d: Drawing) -> None:
    """Draw recessed downlights whose scallops climb down the wall."""
    s.wall()
    s.rect(
        0,
        0,
        1200,
        210,
        s.down((0, mix(s.room.wall, "#ffffff", 0.1), 1), (1, mix(s.room.wall, "#ffffff", 0.4), 1)),
    )
    n = max(1, min(d.count, 4))
    r = 54 + min(d.width, 200) * 0.16
    for i in range(n):
        x = 600 + (i - (n - 1) / 2) * 330
        s.beam(
            f"M{x - r:g} 206H{x + r:g}Q{x + 130:g} 620 {x + 210:g} 1120H{x - 210:g}Q{x - 130:g} 620 {x - r:g} 206Z",
            0.95,
            22,
        )
        s.glow(x, 330, 150, 250, 0.9)
        s.glow(x, 120, r * 2.4, 80, 0.8)
        s.oval(x, 112, r, r * 0.42, s.across((0, s.low, 1), (0.4, s.high, 1), (1, s.low, 1)))
        s.oval(x, 116, r * 0.82, r * 0.33, s.lit())
    s.rect(0, 208, 1200, 3, mix(s.room.corner, "#1a1714", 0.2), opacity=0.4)
    s.rect(0, 1060, 1200, 140, s.down((0, s.room.edge, 1), (1, s.room.desk, 1)))
    s.shadow(600, 1066, 330, 20, 0.4)
    s.rect(300, 900, 600, 150, s.down((0, "#caa87b", 1), (1, "#98774f", 1)), 6)
    s.rect(598, 912, 3, 126, "#7d6140")
    s.stroke("M340 1050v30M860 1050v30", "#7d6140", 16)
    s.path("M400 900V830q0-70 44-70t44 70V900z", s.tube("#ece9e3"))
    s.oval(740, 836, 66, 66, s.round((0, "#d8b48c", 1), (1, "#8d5f3d", 1), cx=0.45, cy=0.2))


def flat(s: Sheet, d: Drawing) -> None:
    """Draw a thin panel against the wall, in its own proportions."""
    s.wall()
    longest = max(d.width, d.height)
    w, h = 760 * d.width / longest, 760 * d.height / longest
    x, y = 600 - w / 2, 560 - h / 2
    s.glow(600, 560, w / 2 + 420, h / 2 + 420, 1, 0.3)
    s.rect(x, y + 20, w, h, "#1b1712", 6, opacity=0.32, filter=s.blur(20))
    s.rect(x, y, w, h, s.across((0, s.low, 1), (0.06, s.high, 1), (0.94, s.finish, 1), (1, s.low, 1)), 8)
    s.rect(
        x + 16,
        y + 16,
        w - 32,
        h - 32,
        s.round((0, "#ffffff", 1), (0.7, s.core, 1), (1, mix(s.core, s.light, 0.5), 1), r=0.75),
        3,
    )
    s.desk(1060)
    s.glow(600, 1076, w * 0.8, 60, 0.8)


SUBJECTS = {
    "panel-grid": grid,
    "panel-linear": linear,
    "panel-base": base,
    "panel-downlights": downlights,
    "panel-flat": flat,
}
