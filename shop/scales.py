"""The two scales on a product page: colour temperature and luminous flux."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

WARMEST_KELVIN, COOLEST_KELVIN = 2_200, 6_700  # K, the ends of the scale
BRIGHTEST_LUMENS = 8_000  # lm, the end of the scale
SCALE_WIDTH = 320  # units of the drawing

# Fluxes that customers know: bulbs by the class of the incandescent bulb that they replace (JIS C 8157: 485,
# 810, 1,520 lm), and the minimum of a ceiling light for a room of eight tatami (guide A121 of the Japan
# Lighting Manufacturers Association).
KNOWN_LUMENS: tuple[tuple[int, Promise], ...] = (
    (485, _("40 W bulb")),
    (1_520, _("100 W")),
    (3_300, _("8 tatami")),
)

# (upper bound in K, name of the band in filters and style sheet)
KELVIN_BANDS = ((3_200, "warm"), (4_600, "neutral"), (5_700, "day"), (20_000, "cool"))


@dataclass(frozen=True, slots=True)
class Mark:
    """A value on a scale."""

    x: int  # units from the left, 0 to WIDTH
    label: str | Promise
    anchor: str  # start, middle or end, so that a label at an end stays inside the drawing
    band: str = ""


def band(kelvin: int) -> str:
    """Return the band of a colour temperature (K)."""
    return next(name for upper, name in KELVIN_BANDS if kelvin <= upper)


def kelvin_scale(kelvins: Sequence[int]) -> tuple[Mark, ...]:
    """Return the marks of colour temperatures (K), from warm (left) to cool (right)."""
    return tuple(
        place_mark(
            (kelvin - WARMEST_KELVIN) / (COOLEST_KELVIN - WARMEST_KELVIN), f"{kelvin:,} K", band(kelvin)
        )
        for kelvin in sorted(set(kelvins))
    )


def lumen_scale(lumens: Sequence[int]) -> tuple[Mark, ...]:
    """Return the marks of luminous fluxes (lm) on a square-root scale, which is closer to human perception.

    Of several fluxes only the lowest and the highest are shown, so that labels do not overlap.
    """
    shown = sorted(set(lumens))
    if len(shown) > 1:
        shown = [shown[0], shown[-1]] if shown[-1] > shown[0] * 1.6 else [shown[-1]]
    return tuple(place_mark((value / BRIGHTEST_LUMENS) ** 0.5, f"{value:,} lm") for value in shown)


def known_marks() -> tuple[Mark, ...]:
    """Return the marks of `KNOWN_LUMENS`."""
    return tuple(place_mark((value / BRIGHTEST_LUMENS) ** 0.5, label) for value, label in KNOWN_LUMENS)


def place_mark(share: float, label: str | Promise, name: str = "") -> Mark:
    """Return a mark at a share (0 to 1) of the scale; its label stays inside the drawing."""
    x = round(min(max(share, 0.0), 1.0) * SCALE_WIDTH)
    anchor = "start" if x < 36 else "end" if x > SCALE_WIDTH - 36 else "middle"
    return Mark(x, label, anchor, name)
