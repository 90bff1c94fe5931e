"""Colours of light and material, as sRGB hex strings."""

from functools import lru_cache

Rgb = tuple[float, float, float]

# An eye adapted to mixed room light sees about this as white.
ADAPTED_KELVIN = 5200


def _planckian_xy(kelvin: float) -> tuple[float, float]:
    """Return CIE 1931 x, y of a black body (cubic fit of Kim et al., US patent 7024034, 1,667–25,000 K)."""
    t = kelvin
    if t < 4000:
        x = -0.2661239e9 / t**3 - 0.2343589e6 / t**2 + 0.8776956e3 / t + 0.179910
    else:
        x = -3.0258469e9 / t**3 + 2.1070379e6 / t**2 + 0.2226347e3 / t + 0.240390
    if t < 2222:
        y = -1.1063814 * x**3 - 1.34811020 * x**2 + 2.18555832 * x - 0.20219683
    elif t < 4000:
        y = -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    else:
        y = 3.0817580 * x**3 - 5.87338670 * x**2 + 3.75112997 * x - 0.37001483
    return x, y


def _linear_rgb(kelvin: float) -> Rgb:
    """Return linear sRGB (D65) of a black body at luminance 1, clipped at zero."""
    x, y = _planckian_xy(kelvin)
    big_x, big_z = x / y, (1 - x - y) / y
    red = 3.2406 * big_x - 1.5372 - 0.4986 * big_z
    green = -0.9689 * big_x + 1.8758 + 0.0415 * big_z
    blue = 0.0557 * big_x - 0.2040 + 1.0570 * big_z
    return max(red, 0.0), max(green, 0.0), max(blue, 0.0)


def _encode(value: float) -> int:
    """Return the 8-bit sRGB code of a linear value from 0 to 1."""
    value = min(max(value, 0.0), 1.0)
    coded = 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
    return round(coded * 255)


@lru_cache(maxsize=256)
def light(kelvin: int, softness: float = 0.2) -> str:
    """Return the colour of light of `kelvin` (1,800–10,000 K) as an adapted eye sees it.

    `softness` from 0 (pure) to 1 (white) adds white, in sRGB codes, which keeps amber from turning pink.
    """
    if not 1800 <= kelvin <= 10000:
        raise ValueError(f"A colour temperature lies between 1,800 and 10,000 K, not {kelvin}.")
    source, white = _linear_rgb(kelvin), _linear_rgb(ADAPTED_KELVIN)
    adapted = [s / w for s, w in zip(source, white, strict=True)]
    top = max(adapted)
    return mix("#" + "".join(f"{_encode(a / top):02x}" for a in adapted), "#ffffff", softness)


def mix(first: str, second: str, share: float) -> str:
    """Return the colour at `share` (0–1) of the way from `first` to `second`."""
    pairs = zip(_channels(first), _channels(second), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def _channels(colour: str) -> tuple[int, ...]:
    """Return the three 8-bit channels of `#rrggbb`."""
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


# Materials: the colour of the middle tones, from which light and shade are derived.
FINISHES = {
    "white": "#ece9e3",
    "black": "#34322f",
    "brass": "#b98f4e",
    "copper": "#b56f4d",
    "oak": "#c79f6d",
    "walnut": "#7b563c",
    "aluminium": "#b9bab9",
    "sage": "#8d9a84",
    "clay": "#b5694a",
    "navy": "#3d4a5e",
    "linen": "#d8ccb6",
    "sand": "#cfc0a4",
}
