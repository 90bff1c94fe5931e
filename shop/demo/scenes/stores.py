"""Still lifes of power supplies, dimmers and emergency goods."""

from ..canvas import Drawing, Sheet
from ..colour import mix

TOP = 860.0


def _still(s: Sheet, strength: float = 0.55) -> None:
    """Draw a table and quiet light that falls from the upper left."""
    s.wall()
    s.glow(420, 360, 800, 680, strength)
    s.desk(TOP)
    s.glow(560, TOP + 90, 640, 150, strength)


def _face(s: Sheet, colour: str) -> str:
    """Return the shading of a flat front lit from the left."""
    return s.across(
        (0, mix(colour, "#ffffff", 0.35), 1), (0.5, colour, 1), (1, mix(colour, "#1a1714", 0.22), 1)
    )


def driver(s: Sheet, d: Drawing) -> None:
    """Draw an aluminium power supply with its leads."""
    _still(s)
    w, h = 420 + min(d.width, 320) * 1.2, 150 + min(d.height, 120) * 1.3
    x, y = 600 - w / 2, TOP + 70 - h
    s.shadow(600, TOP + 76, w * 0.62, 40, 0.5)
    for dy, colour in ((0.35, "#9b3b32"), (0.6, "#2a2825")):
        s.stroke(f"M{x + w - 20:g} {y + h * dy:g}q140 0 120 {110 - dy * 60:g}t160 60", colour, 11)
    s.stroke(
        f"M{x + 20:g} {y + h * 0.5:g}Q{x - 130:g} {y + h * 0.45:g} {x - 110:g} {TOP + 70:g}T-20 {TOP + 150:g}",
        "#d6d2ca",
        18,
    )
    s.path(
        f"M{x:g} {y:g}l46-62h{w - 92:g}l46 62z", s.across((0, s.high, 1), (0.5, s.finish, 1), (1, s.low, 1))
    )
    s.rect(x, y, w, h, _face(s, s.finish), 6)
    for i in range(9):
        s.rect(x + 46, y + 18 + i * (h - 40) / 9, 90, 5, s.low, 2, opacity=0.5)
    s.rect(x + 180, y + 24, w - 290, h - 48, "#f1eee8", 4)
    for i in range(4):
        s.rect(
            x + 204,
            y + 46 + i * (h - 90) / 4,
            (w - 350) * (0.9, 0.6, 0.75, 0.4)[i],
            7,
            "#6b6861",
            3,
            opacity=0.55,
        )
    s.rect(x + 180, y + 24, 10, h - 48, "#d98a1f")
    s.oval(x + w - 56, y + h / 2, 12, 12, "#7fd18a")
    s.glow(x + w - 56, y + h / 2, 40, 40, 0.6)


def dimmer(s: Sheet, d: Drawing) -> None:
    """Draw a wall plate with a turning knob, and the light that it sets."""
    s.wall()
    s.glow(600, 40, 900, 620, 1)
    s.rect(398, 318, 424, 644, "#1b1712", 30, opacity=0.35, filter=s.blur(24))
    s.rect(390, 290, 420, 640, _face(s, s.finish), 26)
    s.rect(
        414,
        314,
        372,
        592,
        mix(s.finish, "#ffffff", 0.12),
        14,
        stroke=s.low,
        stroke_width=2,
        stroke_opacity=0.25,
    )
    s.stroke("M476 668A155 155 0 1 1 724 668", mix(s.finish, "#1a1714", 0.18), 12)
    s.stroke("M476 668A155 155 0 0 1 710 465", s.light, 12)
    s.shadow(612, 590, 150, 140, 0.35)
    s.oval(600, 572, 112, 112, s.down((0, s.high, 1), (1, s.low, 1)))
    s.oval(600, 572, 100, 100, s.round((0, s.high, 1), (1, s.finish, 1), cx=0.35, cy=0.3, r=0.8))
    s.stroke("M652 520l22-22", "#d98a1f", 9)
    s.rect(
        560,
        812,
        80,
        44,
        s.down((0, s.high, 1), (1, s.finish, 1)),
        8,
        stroke=s.low,
        stroke_width=2,
        stroke_opacity=0.35,
    )
    s.oval(600, 834, 6, 6, "#d98a1f")


def remote(s: Sheet, d: Drawing) -> None:
    """Draw a slim remote control that leans on the wall."""
    _still(s)
    s.shadow(640, TOP + 36, 190, 28, 0.45)
    s.begin(transform="rotate(7 600 560)")
    s.rect(478, 198, 264, 700, mix(s.finish, "#1a1714", 0.4), 40)
    s.rect(466, 190, 264, 700, _face(s, s.finish), 40)
    ink = "#6b6861" if s.finish > "#9" else "#d8d3ca"
    s.oval(598, 292, 46, 46, "#d98a1f")
    s.stroke("M598 270v22M580 278a24 24 0 1 0 36 0", "#ffffff", 6)
    s.oval(598, 460, 92, 92, "none", stroke=ink, stroke_width=3, opacity=0.6)
    s.stroke("M598 392v26M585 405h26M585 515h26", ink, 5)
    for i, colour in enumerate(("#ffcc8c", "#fff6ea", "#dfe9ff")):
        s.oval(524 + i * 74, 620, 26, 26, colour, stroke=ink, stroke_width=2, stroke_opacity=0.5)
    for row in range(2):
        for column in range(3):
            s.rect(
                502 + column * 74,
                684 + row * 66,
                44,
                34,
                mix(s.finish, ink, 0.12),
                12,
                stroke=ink,
                stroke_width=2,
                stroke_opacity=0.35,
            )
    s.end()


def sensor(s: Sheet, d: Drawing) -> None:
    """Draw a motion sensor on the wall and the field that it sees."""
    s.wall()
    s.beam("M560 500H640L1060 1180H140Z", 0.55, 30)
    s.glow(600, 470, 560, 520, 0.75)
    s.oval(600, 460, 196, 192, "#1b1712", opacity=0.3, filter=s.blur(22))
    s.oval(600, 440, 190, 190, s.down((0, s.high, 1), (0.6, s.finish, 1), (1, s.low, 1)))
    s.oval(600, 440, 172, 172, s.round((0, s.high, 1), (1, s.finish, 1), cx=0.4, cy=0.3, r=0.8))
    s.oval(
        600,
        462,
        104,
        104,
        s.round((0, "#ffffff", 1), (0.7, "#e6e2da", 1), (1, "#a9a49a", 1), cx=0.4, cy=0.3, r=0.75),
    )
    for r in (34, 64, 90):
        s.oval(600, 462, r, r, "none", stroke="#8b877f", stroke_width=2, opacity=0.4)
    for i in range(8):
        s.begin(transform=f"rotate({i * 45} 600 462)")
        s.stroke("M600 428v-60", "#8b877f", 2, opacity=0.35)
        s.end()
    s.oval(600, 322, 8, 8, "#c2523f")


def socket(s: Sheet, d: Drawing) -> None:
    """Draw a textile cord with a lamp holder and a ceiling rose."""
    _still(s, 0.5)
    cord = f"M600 214C600 420 1010 330 990 560S420 560 380 {TOP + 40:g}S760 {TOP + 130:g} 820 {TOP + 80:g}"
    s.shadow(600, TOP + 84, 400, 40, 0.3)
    s.stroke(cord, "#1b1712", 20, opacity=0.2, filter=s.blur(10))
    s.stroke(cord, s.low, 16)
    s.add("path", d=cord, fill="none", stroke=s.high, stroke_width=10, stroke_dasharray="7 9", opacity=0.5)
    s.path("M480 60H720V132q0 26-60 60l-40 30h-40l-40-30q-60-34-60-60z", s.tube("#ece9e3"))
    s.rect(470, 46, 260, 24, s.tube("#d3cfc7"), 8)
    s.begin(transform=f"rotate(-84 900 {TOP + 70:g})")
    s.path(f"M870 {TOP - 24:g}h60l24 46v170q0 16-16 16h-76q-16 0-16-16v-170z", s.tube())
    s.oval(900, TOP + 206, 48, 13, "#2a2825")
    s.oval(900, TOP + 206, 36, 8, s.light)
    s.end()


def station(s: Sheet, d: Drawing) -> None:
    """Draw a portable power station with its display and outlets."""
    _still(s)
    w, h = 420 + min(d.width, 400) * 0.75, 300 + min(d.height, 300) * 0.75
    x, y = 600 - w / 2, TOP + 60 - h
    s.shadow(600, TOP + 66, w * 0.6, 40, 0.5)
    grip = f"M{x + w * 0.2:g} {y + 20:g}V{y - 30:g}q0-46 46-46H{x + w * 0.8 - 46:g}q46 0 46 46v50"
    s.stroke(grip, s.low, 44)
    s.stroke(grip, s.finish, 32)
    s.rect(x, y, w, h, _face(s, s.finish), 44)
    s.rect(x + 30, y + 34, w - 60, h - 68, mix(s.finish, "#1a1714", 0.5), 24)
    s.rect(x + 60, y + 64, w * 0.4, h * 0.34, "#14181a", 12)
    for i in range(5):
        s.rect(
            x + 80 + i * w * 0.07, y + 64 + h * 0.2, w * 0.05, h * 0.09, "#9fe0b0" if i < 4 else "#33423a", 3
        )
    s.rect(x + 80, y + 84, w * 0.22, h * 0.06, "#dff3e4", 4)
    for i in range(2):
        px = x + w * (0.62 + 0.17 * i)
        s.oval(px, y + 64 + h * 0.17, w * 0.065, w * 0.065, "#ece9e3")
        s.rect(px - 14, y + 52 + h * 0.17, 7, 26, "#2a2825")
        s.rect(px + 8, y + 52 + h * 0.17, 7, 26, "#2a2825")
    for i in range(4):
        s.rect(x + 66 + i * w * 0.13, y + h * 0.62, w * 0.09, 22, "#ece9e3", 5)
        s.rect(x + 72 + i * w * 0.13, y + h * 0.62 + 7, w * 0.09 - 12, 8, "#2a2825", 2)
    s.rect(x + w * 0.62, y + h * 0.58, w * 0.24, h * 0.2, s.lit(), 10)
    s.glow(x + w * 0.74, y + h * 0.68, w * 0.3, h * 0.3, 0.6)


def bottles(s: Sheet, d: Drawing) -> None:
    """Draw bottles of water; light passes through them."""
    _still(s, 0.7)
    n = max(1, min(d.count, 6))
    tall = min(620, 330 + d.height)
    wide = tall * 0.3
    water = s.across(
        (0, "#7fa3b4", 0.85),
        (0.2, "#d9eaf0", 0.75),
        (0.45, "#f4fbfd", 0.7),
        (0.75, "#b9d5df", 0.75),
        (1, "#6f95a8", 0.9),
    )
    for i in sorted(range(n), key=lambda i: i % 2 == 0):
        x = 600 + (i - (n - 1) / 2) * wide * (0.8 if n > 3 else 1.15)
        y = TOP + (70 if i % 2 == 0 else 24)
        t = y - tall
        s.shadow(x + 20, y, wide * 0.75, 24, 0.35)
        s.glow(x + 60, y + 30, wide * 0.9, 26, 0.8)
        s.path(
            f"M{x - wide * 0.2:g} {t + 40:g}h{wide * 0.4:g}c0 {tall * 0.1:g} {wide * 0.3:g} {tall * 0.08:g} {wide * 0.3:g} {tall * 0.2:g}V{y - 16:g}q0 16-16 16H{x - wide * 0.5 + 16:g}q-16 0-16-16V{t + 40 + tall * 0.2:g}c0-{tall * 0.12:g} {wide * 0.3:g}-{tall * 0.1:g} {wide * 0.3:g}-{tall * 0.2:g}z",
            water,
        )
        s.rect(x - wide * 0.22, t, wide * 0.44, 44, s.tube("#e9e6df"), 6)
        s.rect(
            x - wide * 0.5,
            t + tall * 0.42,
            wide,
            tall * 0.28,
            s.across((0, "#c8d3d2", 1), (0.3, "#ffffff", 1), (1, "#b4bfbf", 1)),
        )
        s.rect(x - wide * 0.5, t + tall * 0.42, wide, 12, "#3d6a86")
        s.path(
            f"M{x:g} {t + tall * 0.48:g}q{wide * 0.17:g} {tall * 0.08:g} 0 {tall * 0.13:g}q{-wide * 0.17:g}-{tall * 0.05:g} 0-{tall * 0.13:g}z",
            "#3d6a86",
        )
        for k in range(2):
            s.rect(x - wide * 0.5, y - tall * (0.1 + 0.08 * k), wide, 4, "#ffffff", opacity=0.5)


def pouch(s: Sheet, d: Drawing) -> None:
    """Draw stand-up pouches of rice with a filled bowl."""
    _still(s, 0.65)
    colours = (s.finish, "#8d9a84", "#cfc0a4")
    n = max(1, min(d.count, 3))
    for i in reversed(range(n)):
        x, y = (430 if n > 1 else 530) + i * 215, TOP + 60 - i * 22
        c = mix(colours[i], "#f2eee6", 0.25)
        s.shadow(x + 10, y, 200, 28, 0.4)
        s.path(
            f"M{x - 150:g} {y - 440:g}H{x + 150:g}Q{x + 136:g} {y - 220:g} {x + 164:g} {y - 20:g}Q{x:g} {y + 26:g} {x - 164:g} {y - 20:g}Q{x - 136:g} {y - 220:g} {x - 150:g} {y - 440:g}Z",
            _face(s, c),
        )
        s.rect(x - 150, y - 440, 300, 34, mix(c, "#1a1714", 0.12))
        s.rect(x - 150, y - 392, 300, 3, "#ffffff", opacity=0.5)
        s.rect(x - 92, y - 340, 184, 210, "#f7f4ed", 4)
        s.path(f"M{x - 56:g} {y - 236:g}h112q-4 66-38 66h-36q-34 0-38-66z", mix(c, "#1a1714", 0.25))
        s.path(f"M{x - 56:g} {y - 238:g}q8-50 56-50t56 50z", "#ffffff", stroke="#d8d3ca", stroke_width=2)
        s.rect(x - 60, y - 156, 120, 7, "#6b6861", 3, opacity=0.5)
    bx, by = 930.0, TOP + 130
    s.shadow(bx, by, 150, 20, 0.45)
    s.path(f"M{bx - 130:g} {by - 110:g}q10-70 130-70t130 70z", s.round((0, "#ffffff", 1), (1, "#e9e4da", 1)))
    s.path(f"M{bx - 140:g} {by - 112:g}h280q-10 112-90 112h-100q-80 0-90-112z", s.tube("#3d4a5e"))


def can(s: Sheet, d: Drawing) -> None:
    """Draw cans of bread, one opened beside a slice."""
    _still(s, 0.65)
    n = max(1, min(d.count, 3))
    for i in reversed(range(n)):
        x, y = (400 if n > 1 else 560) + i * 250, TOP + 70 - (i % 2) * 40
        s.shadow(x + 14, y, 170, 26, 0.45)
        s.path(f"M{x - 116:g} {y - 350:g}V{y - 8:g}q116 36 232 0V{y - 350:g}z", s.tube("#c9c7c2"))
        s.path(
            f"M{x - 116:g} {y - 310:g}V{y - 46:g}q116 34 232 0V{y - 310:g}q-116 30-232 0z",
            s.tube((s.finish, "#cfc0a4", "#8d9a84")[i]),
        )
        s.path(
            f"M{x - 70:g} {y - 150:g}q0-90 70-90t70 90v50q-70 18-140 0z",
            "#e2b878",
            stroke="#9a6a35",
            stroke_width=6,
        )
        s.oval(
            x,
            y - 350,
            116,
            28,
            s.across((0, "#f1f0ed", 1), (1, "#a9a7a2", 1)),
            stroke="#8a8883",
            stroke_width=3,
        )
        s.oval(x, y - 352, 92, 20, "none", stroke="#8a8883", stroke_width=3, opacity=0.6)
        s.oval(x + 20, y - 356, 30, 8, "none", stroke="#7b7974", stroke_width=6)
    s.begin(transform=f"translate({0 if n > 1 else -90} 0)")
    s.shadow(950, TOP + 140, 150, 18, 0.4)
    s.path(f"M830 {TOP + 130:g}q-24-110 110-116t130 90q6 30-14 30z", "#b98048")
    s.path(f"M846 {TOP + 122:g}q-16-86 94-92t110 74q4 18-10 18z", "#f3dfb6")
    s.end()


def box(s: Sheet, d: Drawing) -> None:
    """Draw a paper box of biscuits or jelly with single packs in front."""
    _still(s, 0.65)
    s.shadow(560, TOP + 44, 380, 40, 0.45)
    c = s.finish
    s.path("M250 420L330 370H900L830 420Z", mix(c, "#ffffff", 0.4))
    s.path(f"M830 420L900 370V{TOP - 20:g}L830 {TOP + 40:g}Z", s.low)
    s.rect(250, 420, 580, TOP - 380, _face(s, c))
    s.rect(310, 490, 460, 240, "#f7f4ed", 4)
    for i in range(3):
        s.oval(410 + i * 130, 596, 52, 52, "#d9ab68", stroke="#a87739", stroke_width=4)
        for dx, dy in ((-16, -14), (16, -14), (0, 14), (-20, 16), (20, 16)):
            s.oval(410 + i * 130 + dx, 596 + dy, 4, 4, "#a87739")
    s.rect(400, 680, 280, 9, "#6b6861", 4, opacity=0.5)
    for i in range(max(1, min(d.count, 3))):
        x = 470 + i * 190
        s.shadow(x + 90, TOP + 150, 110, 14, 0.4)
        s.rect(
            x,
            TOP + 64 + i * 6,
            176,
            82,
            s.across((0, "#f6f4ef", 1), (0.6, "#dcd8cf", 1), (1, "#b5b0a6", 1)),
            8,
        )
        s.rect(x + 40, TOP + 64 + i * 6, 96, 82, mix(c, "#ffffff", 0.2))


def torch(s: Sheet, d: Drawing) -> None:
    """Draw a torch that lies on the table and throws its beam."""
    _still(s, 0.25)
    s.begin(transform="translate(0 105)")
    fill = s.across((0, s.core, 0.95), (0.4, s.light, 0.5), (1, s.light, 0.05))
    s.path("M520 640L1260 330V1010L520 790Z", fill, filter=s.blur(20), opacity=round(s.room.glow, 2))
    s.glow(560, 720, 300, 220, 0.9)
    s.glow(900, TOP + 40, 420, 70, 0.9)
    s.shadow(320, TOP + 6, 300, 26, 0.5)
    side = s.down((0, s.low, 1), (0.25, s.high, 1), (0.55, s.finish, 1), (1, s.low, 1))
    s.rect(70, 650, 340, 130, side, 22)
    s.path("M400 650L490 600H540V830H490L400 780Z", side)
    for x in range(110, 300, 26):
        s.rect(x, 656, 9, 118, s.low, 3, opacity=0.5)
    s.rect(326, 632, 50, 26, "#d98a1f", 8)
    s.oval(540, 715, 24, 115, s.lit())
    s.end()


SUBJECTS = {
    "power-driver": driver,
    "power-dimmer": dimmer,
    "power-remote": remote,
    "power-sensor": sensor,
    "power-socket": socket,
    "power-station": station,
    "emergency-bottles": bottles,
    "emergency-pouch": pouch,
    "emergency-can": can,
    "emergency-box": box,
    "emergency-torch": torch,
}
