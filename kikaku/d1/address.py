"""`DATABASE_URL` of a D1 database as an entry of Django's `DATABASES`."""

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

ENGINE = str(__package__)  # whatever name the package has here
SCHEMES = ("d1", "d1-rest")
REST_HOST = "api.cloudflare.com"
NUMBER_OPTIONS = {"pool_size": int, "connect_timeout": float, "read_timeout": float}
ISOLATION_LEVELS = ("read committed", "serializable")
PLAIN_HTTP_HOSTS = ("127.0.0.1", "localhost", "::1")


def database(url: str, *, gateway_secret: str, api_token: str) -> dict[str, Any]:
    """Return the entry for `d1://host[:port]/binding` or `d1-rest://account/database`; options are a query.

    The scheme is https, except for a gateway on this machine or inside Cloudflare's container (`….internal`),
    where the Worker itself answers.

    Raises:
        ValueError: the address is incomplete, an option is unknown, or the secret is missing.
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
        options["transport"] = "rest"
        # the account is in the place of the host; upper and lower case are the same there
        return {**entry, "HOST": REST_HOST, "PORT": "", "USER": host, "PASSWORD": api_token}
    if not gateway_secret:
        raise ValueError("D1_GATEWAY_SECRET is missing: the secret that the gateway requires")
    options["scheme"] = "http" if host in PLAIN_HTTP_HOSTS or host.endswith(".internal") else "https"
    return {**entry, "HOST": host, "PORT": str(parts.port or ""), "USER": "", "PASSWORD": gateway_secret}
