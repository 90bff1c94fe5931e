"""A small SVG canvas: shapes, gradients, glows and rooms; deterministic, without fonts and external files."""

from dataclasses import dataclass
from zlib import crc32

from .colour import FINISHES, light, mix

Stop = tuple[float, str, float]  # offset 0–1, colour, opacity 0–1

# (offset, share) of a soft fall-off, close to a Gaussian, so that a glow has no edge.
_FALL_OFF = ((0, 1), (0.12, 0.93), (0.25, 0.76), (0.4, 0.5), (0.55, 0.28), (0.7, 0.12), (0.85, 0.035), (1, 0))


@dataclass(frozen=True)
class Drawing:
    """The content of a picture; equal drawings give equal bytes."""

    subject: str  # a key of drawing.SUBJECTS
    kelvin: int = 3000  # colour temperature of the light, 1,800–10,000 K
    finish: str = "white"  # a key of colour.FINISHES
    width: int = 400  # mm, of the goods
    height: int = 120  # mm
    depth: int = 0  # mm; 0: as deep as wide
    count: int = 1  # of bulbs, spots, bottles, …, depending on the subject
    view: str = "portrait"  # portrait, evening, detail, dimensions


@dataclass(frozen=True)
class Room:
    """The unlit colours of a room."""

    wall: str  # brightest part of the wall without the lamp
    corner: str  # its darkest part
    desk: str  # top of a table or floor
    edge: str  # front edge of the table
    glow: float  # how strongly light shows on the wall, 0–1


PAPER = Room("#d3cdc3", "#b4ab9e", "#b9a78d", "#98866c", 0.96)
EVENING = Room("#3c3731", "#1f1c19", "#4a3f33", "#2b241d", 0.62)


def number(value: float) -> str:
    """Return a number for SVG, with at most one decimal."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


class Sheet:
    """One picture in the making. Its ids carry a prefix, so that several pictures can be inline in a page."""

    def __init__(self, name: str, kelvin: int, finish: str, room: Room) -> None:
        """Begin a sheet; `name` must differ between pictures, as the ids derive from it."""
        self.prefix = f"k{crc32(name.encode()):x}"
        self.room = room
        self.light = light(kelvin)
        self.core = light(kelvin, 0.78)
        self.finish = FINISHES[finish]
        self.high = mix(self.finish, "#ffffff", 0.45)
        self.low = mix(self.finish, "#1a1714", 0.42)
        self._defs: dict[str, str] = {}
        self._body: list[str] = []

    def _define(self, markup: str) -> str:
        """Return the reference to a definition; equal definitions are shared."""
        if markup not in self._defs:
            self._defs[markup] = f"{self.prefix}{len(self._defs)}"
        return f"url(#{self._defs[markup]})"

    @staticmethod
    def _stops(stops: tuple[Stop, ...]) -> str:
        parts = []
        for offset, colour, opacity in stops:
            shown = "" if opacity == 1 else f' stop-opacity="{round(opacity, 3):g}"'
            parts.append(f'<stop offset="{offset:g}" stop-color="{colour}"{shown}/>')
        return "".join(parts)

    def down(self, *stops: Stop) -> str:
        """Return a gradient from top to bottom."""
        inner = self._stops(stops)
        return self._define(f'<linearGradient id="%s" x2="0" y2="1">{inner}</linearGradient>')

    def across(self, *stops: Stop) -> str:
        """Return a gradient from left to right."""
        return self._define(f'<linearGradient id="%s">{self._stops(stops)}</linearGradient>')

    def round(self, *stops: Stop, cx: float = 0.5, cy: float = 0.5, r: float = 0.5) -> str:
        """Return a radial gradient within the shape's box."""
        at = f'cx="{cx:g}" cy="{cy:g}" r="{r:g}"'
        return self._define(f'<radialGradient id="%s" {at}>{self._stops(stops)}</radialGradient>')

    def lit(self) -> str:
        """Return the fill of a lit diffuser."""
        return self.round((0, "#ffffff", 1), (0.5, self.core, 1), (1, mix(self.core, self.light, 0.75), 1))

    def blur(self, deviation: float) -> str:
        """Return a blur filter of `deviation` units."""
        box = 'x="-.4" y="-.4" width="1.8" height="1.8"'
        inner = f'<feGaussianBlur stdDeviation="{deviation:g}"/>'
        return self._define(f'<filter id="%s" {box}>{inner}</filter>')

    def tube(self, colour: str | None = None) -> str:
        """Return the shading of an upright cylinder of a material (default: the finish)."""
        base = colour or self.finish
        high, low = mix(base, "#ffffff", 0.5), mix(base, "#1a1714", 0.45)
        return self.across((0, low, 1), (0.22, base, 1), (0.38, high, 1), (0.62, base, 1), (1, low, 1))

    def add(self, element: str, **attributes: float | str) -> None:
        """Add an element; underscores in names become hyphens."""
        self._body.append(f"<{element}{self._attributes(attributes)}/>")

    @staticmethod
    def _attributes(attributes: dict[str, float | str]) -> str:
        parts = []
        for name, value in attributes.items():
            shown = value if isinstance(value, str) else (f"{value:g}" if abs(value) < 10 else number(value))
            parts.append(f' {name.replace("_", "-")}="{shown}"')
        return "".join(parts)

    def rect(
        self, x: float, y: float, w: float, h: float, fill: str, rx: float = 0, **more: float | str
    ) -> None:
        """Add a rectangle."""
        if rx:
            more["rx"] = rx
        self.add("rect", x=x, y=y, width=w, height=h, fill=fill, **more)

    def oval(self, cx: float, cy: float, rx: float, ry: float, fill: str, **more: float | str) -> None:
        """Add an ellipse."""
        self.add("ellipse", cx=cx, cy=cy, rx=rx, ry=ry, fill=fill, **more)

    def path(self, d: str, fill: str = "none", **more: float | str) -> None:
        """Add a path."""
        self.add("path", d=d, fill=fill, **more)

    def stroke(self, d: str, colour: str, width: float, **more: float | str) -> None:
        """Add a line with round ends."""
        self.add(
            "path", d=d, fill="none", stroke=colour, stroke_width=width, stroke_linecap="round",
            stroke_linejoin="round", **more,
        )  # fmt: skip

    def begin(self, **attributes: float | str) -> None:
        """Open a group."""
        self._body.append(f"<g{self._attributes(attributes)}>")

    def end(self) -> None:
        """Close the group opened last."""
        self._body.append("</g>")

    def glow(
        self, cx: float, cy: float, rx: float, ry: float, strength: float = 1.0, start: float = 0
    ) -> None:
        """Add light that falls off in every direction, from `start` (0–1 of the radius) outwards."""
        stops = [(round(start + (1 - start) * offset, 3), self.light, share) for offset, share in _FALL_OFF]
        fill = self.round(*stops)
        self.oval(cx, cy, rx, ry, fill, opacity=round(min(strength * self.room.glow, 1), 3))

    def shadow(self, cx: float, cy: float, rx: float, ry: float, strength: float = 0.35) -> None:
        """Add a soft shadow."""
        fill = self.round(*((offset, "#1b1712", share) for offset, share in _FALL_OFF))
        self.oval(cx, cy, rx, ry, fill, opacity=strength)

    def beam(self, d: str, strength: float = 0.6, soft: float = 16) -> None:
        """Add a cone of light that fades downwards, with soft edges."""
        fill = self.down((0, self.core, 0.95), (0.35, self.light, 0.55), (1, self.light, 0.05))
        self.path(d, fill, opacity=round(strength * self.room.glow, 3), filter=self.blur(soft))

    def wall(self, w: float = 1200, h: float = 1200) -> None:
        """Add the wall in the background."""
        room = self.room
        fill = self.round(
            (0, room.wall, 1), (0.55, mix(room.wall, room.corner, 0.45), 1), (1, room.corner, 1), r=0.8
        )
        self.rect(0, 0, w, h, fill)

    def desk(self, y: float, thick: float = 46) -> None:
        """Add a table across the picture at `y`."""
        room = self.room
        self.rect(0, y, 1200, 1200 - y, self.down((0, room.desk, 1), (1, mix(room.desk, room.edge, 0.55), 1)))
        self.rect(0, y, 1200, 3, mix(room.desk, "#ffffff", 0.4), opacity=0.6)
        if y + 150 < 1200:
            self.rect(0, 1200 - thick, 1200, thick, room.edge, opacity=0.55)

    def svg(self, w: int = 1200, h: int = 1200, transform: str = "") -> str:
        """Return the finished picture."""
        defs = "".join(markup % name for markup, name in self._defs.items())
        body = "".join(self._body)
        if transform:
            body = f'<g transform="{transform}">{body}</g>'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}">'
        return f"{head}<defs>{defs}</defs>{body}</svg>"
