"""Readers of environment variables for the settings, one for each type of value.

A wrong value raises `ImproperlyConfigured` with the variable's name.
"""

import os
import re
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

ORIGIN = re.compile(r"[a-z]+://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?")


def env_str(name: str, default: str = "") -> str:
    """Return a text variable without surrounding whitespace."""
    return os.environ.get(name, default).strip()


def env_int(name: str, default: int, *, minimum: int, maximum: int) -> int:
    """Return an integer between `minimum` and `maximum`, both included."""
    raw = env_str(name) or str(default)
    try:
        value = int(raw)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a whole number, not {raw!r}.") from None
    if not minimum <= value <= maximum:
        raise ImproperlyConfigured(f"{name} must lie between {minimum} and {maximum}, not {value}.")
    return value


def env_secret(name: str) -> str:
    """Return an optional secret that we generate ourselves; a weak one is refused."""
    value = env_str(name)
    if value and (len(value) < 32 or len(set(value)) < 12):
        raise ImproperlyConfigured(
            f"{name} is too weak: use 32 random characters or more, or leave it empty."
        )
    return value


def env_choice(name: str, default: str, choices: tuple[str, ...]) -> str:
    """Return one of `choices`."""
    value = env_str(name) or default
    if value not in choices:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(choices)}, not {value!r}.")
    return value


def env_list(name: str) -> list[str]:
    """Return the items of a comma-separated list, without empty ones."""
    return [item.strip() for item in env_str(name).split(",") if item.strip()]


def env_url(name: str, default: str = "", *, schemes: tuple[str, ...] = ("http", "https")) -> str:
    """Return an address with one of `schemes` and a host, without a trailing slash."""
    value = (env_str(name) or default).rstrip("/")
    if value:
        try:
            parts = urlsplit(value)
            is_valid = parts.scheme in schemes and bool(parts.hostname)
            parts.port  # noqa: B018  (a wrong port raises)
        except ValueError:
            is_valid = False
        if not is_valid:
            # the value is not repeated: it may hold a password
            raise ImproperlyConfigured(f"{name} must be an address like {schemes[0]}://host.")
    return value


def env_origins(name: str, *, schemes: tuple[str, ...]) -> list[str]:
    """Return a list of origins as browsers write them: scheme://host or scheme://host:port, no pattern."""
    origins = env_list(name)
    for origin in origins:
        try:
            parts = urlsplit(origin)
            usual = {"https": 443, "http": 80}.get(parts.scheme)
            is_valid = (
                parts.scheme in schemes
                and ORIGIN.fullmatch(origin) is not None
                and (parts.port is None or parts.port not in (0, usual))
            )
        except ValueError:
            is_valid = False
        if not is_valid:
            raise ImproperlyConfigured(
                f"{name} must be origins as browsers send them, such as {schemes[0]}://www.example.jp, with "
                f"a comma between: no path, no pattern, no capital letter, no usual port; not {origin!r}."
            )
    return origins
