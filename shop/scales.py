"""The two small drawn scales by which customers compare light: colour temperature and luminous flux."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

WARMEST, COOLEST = 2_200, 6_700  # K, the ends of the scale
BRIGHTEST = 8_000  # lm, the end of the scale
WIDTH = 320  # units of the drawing

# What customers know: bulbs by the class of their predecessor (JIS C 8157: 485, 810, 1,520 lm) and the flux from
# which a ceiling light is sold for a room of eight tatami (guide A121 of the Japan Lighting Manufacturers Association).
KNOWN: tuple[tuple[int, Promise], ...] = (
    (485, _("40 W bulb")),
    (1_520, _("100 W")),
    (3_300, _("8 tatami")),
)

# upper bound (K) → name of the band, used by filters and style sheet
BANDS = ((3_200, "warm"), (4_600, "neutral"), (5_700, "day"), (20_000, "cool"))


@dataclass(frozen=True, slots=True)
class Mark:
    """A value on a scale."""

    x: int  # units from the left, 0 to WIDTH
    label: str | Promise
    anchor: str  # start, middle or end, so that a label at an end stays inside the drawing
    band: str = ""


def band(kelvin: int) -> str:
    """Name the band of a colour temperature (K)."""
    return next(name for upper, name in BANDS if kelvin <= upper)


def kelvin_scale(kelvins: Sequence[int]) -> tuple[Mark, ...]:
    """Place colour temperatures (K) between warm (left) and cool (right)."""
    return tuple(
        mark((kelvin - WARMEST) / (COOLEST - WARMEST), f"{kelvin:,} K", band(kelvin))
        for kelvin in sorted(set(kelvins))
    )


def lumen_scale(lumens: Sequence[int]) -> tuple[Mark, ...]:
    """Place luminous fluxes (lm) on a square-root scale, which is closer to what the eye sees than a linear one.

    Of many fluxes only the ends are kept, so that their labels do not run into each other.
    """
    shown = sorted(set(lumens))
    if len(shown) > 1:
        shown = [shown[0], shown[-1]] if shown[-1] > shown[0] * 1.6 else [shown[-1]]
    return tuple(mark((value / BRIGHTEST) ** 0.5, f"{value:,} lm") for value in shown)


def known_marks() -> tuple[Mark, ...]:
    """Place what customers know on the scale of luminous flux."""
    return tuple(mark((value / BRIGHTEST) ** 0.5, label) for value, label in KNOWN)


def mark(share: float, label: str | Promise, name: str = "") -> Mark:
    """Place a label at a share of the scale, kept within the drawing."""
    x = round(min(max(share, 0.0), 1.0) * WIDTH)
    anchor = "start" if x < 36 else "end" if x > WIDTH - 36 else "middle"
    return Mark(x, label, anchor, name)
