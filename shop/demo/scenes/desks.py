"""Lamps that stand on a table."""

from ..canvas import Drawing, Sheet
from ..colour import mix

TOP = 960.0  # where the table begins


def _table(s: Sheet) -> None:
    s.wall()
    s.desk(TOP)


def book(s: Sheet, x: float, y: float, w: float = 260) -> None:
    """Draw an open book that lies at `x`, `y` (its middle, lower edge)."""
    page = mix("#fdfaf3", s.light, 0.18)
    s.shadow(x, y + 4, w * 0.62, 20, 0.4)
    s.path(f"M{x - w / 2:g} {y - 8:g}l34-44h{w - 68:g}l34 44z", mix("#3d4a5e", s.light, 0.1))
    s.path(
        f"M{x:g} {y - 12:g}q{-w * 0.22:g}-22 {-w * 0.47:g}-2l30-40q{w * 0.2:g}-14 {w * 0.47 - 30:g} 6z", page
    )
    s.path(
        f"M{x:g} {y - 12:g}q{w * 0.22:g}-22 {w * 0.47:g}-2l-30-40q{-w * 0.2:g}-14 {30 - w * 0.47:g} 6z",
        mix(page, "#8a7c66", 0.1),
    )
    for i in range(4):
        s.stroke(
            f"M{x - w * 0.36 + i * 6:g} {y - 22 - i * 8:g}q{w * 0.16:g}-8 {w * 0.3 - i * 5:g} 0",
            "#6b6861",
            2,
            opacity=0.35,
        )


def cup(s: Sheet, x: float, y: float, colour: str = "#8d9a84") -> None:
    """Draw a tea cup that stands at `x`, `y`."""
    s.shadow(x + 8, y, 62, 12, 0.45)
    s.path(f"M{x - 38:g} {y - 74:g}h76q2 50-16 74h-44q-18-24-16-74z", s.tube(colour))
    s.oval(x, y - 74, 38, 9, mix(colour, "#1a1714", 0.45))


def arm(s: Sheet, d: Drawing) -> None:
    """Draw a lamp with two joints and a conical shade."""
    _table(s)
    k = min(max(d.height / 520, 0.85), 1.12)
    s.begin(transform=f"translate(0 {TOP * (1 - k):.0f}) scale(1 {k:.2f})")
    s.glow(760, 480, 620, 560, 0.8)
    s.beam(f"M668 392L824 444L1090 {TOP + 30:g}H470Z", 0.95, 24)
    s.glow(770, TOP + 40, 420, 110, 1)
    s.shadow(330, TOP + 34, 220, 34, 0.5)
    metal = s.tube()
    s.path("M338 930L446 560L462 565L356 932Z", s.across((0, s.low, 1), (0.5, s.high, 1), (1, s.low, 1)))
    s.path("M444 552L700 292L714 304L460 572Z", s.down((0, s.high, 1), (0.6, s.finish, 1), (1, s.low, 1)))
    s.oval(453, 562, 22, 22, s.round((0, s.high, 1), (1, s.low, 1)))
    s.path(f"M226 {TOP + 22:g}q0-34 120-34t120 34q0 22-120 22t-120-22z", metal)
    s.oval(346, TOP + 12, 118, 21, s.down((0, s.high, 1), (1, s.finish, 1)))
    s.begin(transform="rotate(19 712 300)")
    s.rect(684, 238, 56, 70, metal, 18)
    s.path("M674 296Q712 276 750 296L826 436Q712 470 598 436Z", metal)
    s.oval(712, 438, 112, 19, s.core)
    s.end()
    s.end()
    book(s, 790, TOP + 92)
    cup(s, 1010, TOP + 66)


def bar(s: Sheet, d: Drawing) -> None:
    """Draw an upright stem with a slim horizontal bar of light."""
    _table(s)
    reach = 380 + min(d.width, 700) * 0.35
    left = 270.0
    y = TOP - 250 - min(d.height, 620) * 0.72
    s.glow(left + reach * 0.55, y + 330, 640, 560, 0.7)
    s.beam(
        f"M{left + 60:g} {y + 18:g}H{left + reach:g}L{left + reach + 120:g} {TOP + 40:g}H{left - 30:g}Z",
        0.85,
        22,
    )
    s.glow(left + reach * 0.55, TOP + 56, 470, 110, 1)
    s.shadow(left + 20, TOP + 40, 210, 26, 0.5)
    s.rect(left - 10, y, 20, TOP - y + 20, s.tube(), 4)
    s.rect(left - 26, y - 14, reach + 40, 26, s.down((0, s.high, 1), (0.5, s.finish, 1), (1, s.low, 1)), 13)
    s.rect(left + 50, y + 8, reach - 50, 8, s.core, 4)
    s.rect(left - 90, TOP + 10, 220, 30, s.down((0, s.high, 1), (0.35, s.finish, 1), (1, s.low, 1)), 12)
    s.oval(left + 84, TOP + 20, 12, 4, s.light)
    book(s, left + reach * 0.62, TOP + 104, 300)
    s.rect(960, TOP - 118, 84, 140, s.tube("#b5694a"), 10)
    for dx, top in ((978, 250), (1000, 290), (1022, 236)):
        s.stroke(f"M1002 {TOP - 110:g}L{dx} {TOP - top:g}", "#6d6a4f", 5)


def dome(s: Sheet, d: Drawing) -> None:
    """Draw a mushroom: a dome over a stem that lights the table around it."""
    _table(s)
    r = 170 + min(d.width, 420) * 0.34
    y = TOP - 130 - min(d.height, 520) * 0.72
    s.glow(600, y + 180, 660, 620, 0.85)
    s.beam(
        f"M{600 - r * 0.9:g} {y + 10:g}H{600 + r * 0.9:g}L{600 + r * 1.7:g} {TOP + 60:g}H{600 - r * 1.7:g}Z",
        0.8,
        34,
    )
    s.glow(600, TOP + 60, 540, 120, 1)
    s.shadow(600, TOP + 62, 170, 22, 0.4)
    s.path(f"M566 {y:g}H634L642 {TOP + 30:g}H558Z", s.tube())
    s.path(f"M480 {TOP + 60:g}q0-38 120-38t120 38q0 18-120 18t-120-18z", s.tube())
    shade = s.round((0, s.high, 1), (0.55, s.finish, 1), (1, s.low, 1), cx=0.38, cy=0.3, r=0.8)
    s.path(
        f"M{600 - r:g} {y:g}A{r:g} {r * 0.86:g} 0 0 1 {600 + r:g} {y:g}Q600 {y + 46:g} {600 - r:g} {y:g}Z",
        shade,
    )
    s.path(
        f"M{600 - r + 8:g} {y + 4:g}Q600 {y - 26:g} {600 + r - 8:g} {y + 4:g}Q600 {y + 46:g} {600 - r + 8:g} {y + 4:g}Z",
        s.lit(),
    )
    s.stroke(f"M{600 - r:g} {y:g}Q600 {y + 46:g} {600 + r:g} {y:g}", mix(s.finish, s.light, 0.6), 4)
    cup(s, 880, TOP + 70, "#ece9e3")


def clamp(s: Sheet, d: Drawing) -> None:
    """Draw a wide bar held by a clamp at the edge of the table, over a keyboard."""
    _table(s)
    w = 380 + min(d.width, 900) * 0.42
    x, y = 600 - w / 2, 350.0
    s.glow(600, 660, 680, 520, 0.75)
    s.beam(f"M{x + 10:g} {y + 24:g}H{x + w - 10:g}L{x + w + 150:g} {TOP + 60:g}H{x - 150:g}Z", 0.9, 26)
    s.glow(600, TOP + 70, 560, 130, 1)
    s.rect(588, y - 60, 24, TOP - y + 30, s.tube())
    s.rect(554, TOP - 66, 92, 76, s.tube(), 10)
    s.shadow(600, TOP + 12, 120, 14, 0.5)
    s.rect(570, y - 96, 60, 74, s.tube(), 14)
    s.path(
        f"M{x:g} {y:g}q0-26 26-26H{x + w - 26:g}q26 0 26 26v16H{x:g}Z",
        s.down((0, s.high, 1), (0.5, s.finish, 1), (1, s.low, 1)),
    )
    s.rect(x + 10, y + 12, w - 20, 12, s.core, 5)
    s.shadow(600, TOP + 132, 300, 20, 0.45)
    s.path(f"M378 {TOP + 66:g}H822L856 {TOP + 130:g}H344Z", mix("#e9e7e2", s.light, 0.2))
    for row in range(3):
        w2 = 400 + row * 22
        s.rect(600 - w2 / 2, TOP + 76 + row * 18, w2, 10, "#8b877f", 4, opacity=0.35)
    cup(s, 990, TOP + 84, "#3d4a5e")


def lantern(s: Sheet, d: Drawing) -> None:
    """Draw a portable cylinder of light with a carrying handle."""
    _table(s)
    k = min(max(d.height / 300, 0.7), 1.15)
    w, h = 300 * min(max(d.width / 160, 0.75), 1.25), 480 * k
    y = TOP + 30 - h
    s.glow(600, y + h * 0.5, 640, 620, 1)
    s.glow(600, TOP + 60, 520, 130, 0.9)
    s.shadow(600, TOP + 46, w * 0.9, 24, 0.45)
    s.stroke(
        f"M{600 - w * 0.42:g} {y + 20:g}V{y - 60:g}Q600 {y - 190 * k:g} {600 + w * 0.42:g} {y - 60:g}V{y + 20:g}",
        s.low,
        12,
    )
    s.stroke(
        f"M{600 - w * 0.42:g} {y + 20:g}V{y - 60:g}Q600 {y - 190 * k:g} {600 + w * 0.42:g} {y - 60:g}V{y + 20:g}",
        s.finish,
        7,
    )
    s.rect(600 - w / 2, y, w, h, s.tube(), 26)
    s.rect(
        600 - w / 2 + 5,
        y + 56,
        w - 10,
        h - 130,
        s.across((0, s.light, 1), (0.3, s.core, 1), (0.5, "#ffffff", 1), (0.7, s.core, 1), (1, s.light, 1)),
        8,
    )
    s.oval(600, y + h - 36, 9, 9, mix(s.low, s.light, 0.7))
    book(s, 900, TOP + 110, 230)


def paper(s: Sheet, d: Drawing) -> None:
    """Draw a globe of washi paper on three thin feet."""
    _table(s)
    r = 130 + min(d.width, 450) * 0.36
    ry = r * min(max(d.height / max(d.width, 1), 0.7), 1.25)
    y = TOP - 50 - ry
    s.glow(600, y, 720, 700, 1)
    s.glow(600, TOP + 70, 560, 130, 0.9)
    for x, foot in ((530, 486), (600, 600), (670, 714)):
        s.stroke(f"M{x} {y + ry * 0.85:g}L{foot} {TOP + 48:g}", s.low, 9)
    s.shadow(600, TOP + 56, 200, 18, 0.35)
    s.oval(
        600,
        y,
        r,
        ry,
        s.round(
            (0, "#ffffff", 1),
            (0.45, s.core, 1),
            (0.85, s.light, 1),
            (1, mix(s.light, "#8a7450", 0.3), 1),
            cy=0.55,
        ),
    )
    for i in range(-6, 7):
        half = (1 - (i / 7) ** 2) ** 0.5 * r
        yy = y + ry * i / 7
        s.stroke(
            f"M{600 - half:.0f} {yy:.0f}q{half:.0f} {9 + i:g} {2 * half:.0f} 0",
            mix(s.light, "#7a6038", 0.5),
            2,
            opacity=0.4,
        )
    s.oval(600, y - ry, 44, 8, s.low)
    s.oval(600, y + ry, 44, 8, s.low)


SUBJECTS = {
    "desk-arm": arm,
    "desk-bar": bar,
    "desk-dome": dome,
    "desk-clamp": clamp,
    "desk-lantern": lantern,
    "desk-paper": paper,
}
