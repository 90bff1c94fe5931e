"""The mail server that `EMAIL_URL` names."""

from dataclasses import dataclass
from urllib.parse import urlsplit

PORTS = {"smtp": 25, "smtps": 465, "smtp+tls": 587}


@dataclass(frozen=True)
class MailServer:
    """Django's settings of a mail server; without a host, mails are printed."""

    backend: str = "django.core.mail.backends.console.EmailBackend"
    host: str = ""
    port: int = 0
    user: str = ""
    password: str = ""
    ssl: bool = False
    starttls: bool = False


def server(url: str) -> MailServer:
    """Return the mail server of a URL such as smtps://user:password@host; raise ValueError for another."""
    parts = urlsplit(url)
    if parts.scheme == "console":
        return MailServer()
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError(
            "EMAIL_URL must be console: or smtp://, smtps:// or smtp+tls://user:password@host:port."
        )
    return MailServer(
        backend="django.core.mail.backends.smtp.EmailBackend",
        host=parts.hostname,
        port=parts.port or PORTS[parts.scheme],
        user=parts.username or "",
        password=parts.password or "",
        ssl=parts.scheme == "smtps",
        starttls=parts.scheme == "smtp+tls",
    )
