"""`DATABASE_URL` of a D1 database as an entry of Django's `DATABASES`, and what is safe to send where."""

import ipaddress
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

ENGINE = str(__package__)  # whatever name the package has here
SCHEMES = ("d1", "d1-rest")
REST_HOST = "api.cloudflare.com"
NUMBER_OPTIONS = {"pool_size": int, "connect_timeout": float, "read_timeout": float}
ISOLATION_LEVELS = ("read committed", "serializable")
SECRET_RULE = "may hold only printable ASCII characters: is there a space or a line break at its end?"  # noqa: S105


def database(url: str, *, gateway_secret: str, api_token: str) -> dict[str, Any]:
    """Return the entry for `d1://host[:port]/binding` or `d1-rest://account/database`; options are a query.

    Raises:
        ValueError: the address is incomplete, an option is unknown, or the secret is missing or not sendable.
    """
    parts = urlsplit(url)
    name, host = unquote(parts.path.strip("/")), parts.hostname or ""
    if not host or not name or "/" in name:
        raise ValueError(
            f"it must look like {'d1://host/name' if parts.scheme == 'd1' else 'd1-rest://account/database'}"
        )
    if parts.username or parts.password:
        raise ValueError("it must hold no secret: D1_GATEWAY_SECRET and CLOUDFLARE_API_TOKEN do")
    options: dict[str, Any] = {}
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        if key not in ("isolation", *NUMBER_OPTIONS):
            raise ValueError(
                f"its option {key!r} is unknown; isolation, {', '.join(NUMBER_OPTIONS)} are known"
            )
        try:
            options[key] = NUMBER_OPTIONS.get(key, str)(value)
        except ValueError:
            raise ValueError(f"its option {key} must be a number, not {value!r}") from None
        if key == "isolation" and value not in ISOLATION_LEVELS:
            raise ValueError(f"its isolation must be {' or '.join(ISOLATION_LEVELS)}, not {value!r}")
        if key in NUMBER_OPTIONS and not options[key] > 0:
            raise ValueError(f"its option {key} must be above 0, not {value!r}")
    entry = {"ENGINE": ENGINE, "NAME": name, "CONN_MAX_AGE": None, "OPTIONS": options}
    if parts.scheme == "d1-rest":
        if not api_token:
            raise ValueError("CLOUDFLARE_API_TOKEN is missing: a token with the permission to edit D1")
        if not is_sendable(api_token):
            raise ValueError(f"CLOUDFLARE_API_TOKEN {SECRET_RULE}")
        options["transport"] = "rest"
        # the account is in the place of the host; upper and lower case are the same there
        return {**entry, "HOST": REST_HOST, "PORT": "", "USER": host, "PASSWORD": api_token}
    if not gateway_secret:
        raise ValueError("D1_GATEWAY_SECRET is missing: the secret that the gateway requires")
    if not is_sendable(gateway_secret):
        raise ValueError(f"D1_GATEWAY_SECRET {SECRET_RULE}")
    return {**entry, "HOST": host, "PORT": str(parts.port or ""), "USER": "", "PASSWORD": gateway_secret}


def scheme_for(host: str) -> str:
    """Return `http` for this machine and for Cloudflare's container (`….internal`), else `https`.

    In the container the Worker itself answers. Everywhere else the secret and all SQL are encrypted.
    """
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith((".localhost", ".internal")):
        return "http"
    try:
        return "http" if ipaddress.ip_address(name).is_loopback else "https"
    except ValueError:  # a name
        return "https"


def is_sendable(secret: str) -> bool:
    """Return whether a secret can be sent in a header. The error for another one would repeat it."""
    return secret.isascii() and secret.isprintable() and secret == secret.strip()
