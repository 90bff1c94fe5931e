"""The page store: public pages are rendered once for each version of the catalogue and kept as compressed bytes.

It stands outside Django (`kikaku/wsgi.py` puts it there), since Django's own way in costs more than the page. What
makes it right:

- The version (`shop.pages.version`) is read from the database for every request, before anything is rendered. A page
  is kept under the version that was read, and served only while that is the version: never older than the last commit.
- A page is rendered for nobody: the store asks Django for it in its own words (host, path, known parameters, no cookie
  or header of the visitor), so what somebody sends can not end in what others get.
- Whatever does not fit goes to Django untouched: other methods, other addresses, strange hosts, a database that is gone.
"""

import gzip
import hashlib
import io
import logging
import re
import threading
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.db import Error, connection
from django.http import QueryDict
from django.http.request import split_domain_port, validate_host
from django.urls import Resolver404, resolve
from django.utils import timezone
from django.utils.translation import get_language_from_path, override

from kikaku.client_address import client_address
from shop.delivery import delivery_period
from shop.filters import Filters, page_number
from shop.pages.render import PUBLIC_CACHE_CONTROL
from shop.pages.version import Version, broken_triggers, current_version, rendered_at

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

logger = logging.getLogger(__name__)

# Views whose pages are kept. Searches are not: there are too many different ones, and each shall count against its
# visitor's limit.
LISTS = {"product_list", "category"}  # these take parameters
KEPT = LISTS | {"home", "product", "page"}
PLAIN_BYTES = 32_000_000  # in each process; a page takes about 6,000
# lists with parameters have a place of their own: who tries them all evicts no other page
LISTED_BYTES = 8_000_000
OVERHEAD = 3_000  # bytes that a page's headers and its place take, about
COMPRESSION = 4  # a quarter quicker than 6, and pages grow by 2 %
LONGEST = 1_000  # characters of a path or a query that are looked at
SOURCES = ("kikaku", "ledger", "shop", "ops", "templates", "static")
SOURCE_TYPES = {".py", ".html", ".txt", ".svg", ".css", ".js", ".mo"}

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a page is kept: all that its content depends on, besides version, release and time."""

    path: str
    query: str  # known parameters alone, in one order


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it is sent."""

    tag: str  # of its content, without quotes
    headers: tuple[tuple[str, str], ...]  # without encoding and length
    packed: bytes  # gzip


class Memory:
    """Pages by address, the least recently asked for leave first when `limit` bytes are exceeded."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self._pages: OrderedDict[Address, Page] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._pages)

    def get(self, address: Address) -> Page | None:
        """Return the page that was kept last under an address."""
        with self._lock:
            page = self._pages.get(address)
            if page is not None:
                self._pages.move_to_end(address)
            return page

    def put(self, address: Address, page: Page) -> None:
        """Keep a page; the one before it leaves."""
        with self._lock:
            before = self._pages.pop(address, None)
            if before is not None:
                self.size -= len(before.packed) + OVERHEAD
            self._pages[address] = page
            self.size += len(page.packed) + OVERHEAD
            while self.size > self.limit:
                _address, evicted = self._pages.popitem(last=False)
                self.size -= len(evicted.packed) + OVERHEAD


def release() -> bytes:
    """Return a fingerprint of what renders pages: code, templates, assets, translations, settings.

    Two releases that run beside each other, or one after the other, never take each other's tags for their own.
    """
    digest = hashlib.blake2b(settings.SECRET_KEY.encode(), digest_size=32)
    base = Path(settings.BASE_DIR)
    files = [base / "requirements.txt"]
    for folder in SOURCES:
        files += (path for path in (base / folder).rglob("*") if path.suffix in SOURCE_TYPES)
    for path in sorted(files):
        name = path.relative_to(base)
        if {"tests", "testing"}.isdisjoint(name.parts) and path.is_file():
            content = hashlib.blake2b(path.read_bytes()).digest()
            digest.update(str(name).encode() + b"\0" + content)
    shown = (settings.STOREFRONT_BASE_URL, settings.R2_PUBLIC_URL, settings.CONTENT_SECURITY_POLICY)
    digest.update(repr(shown).encode())
    return digest.digest()


@lru_cache(maxsize=2048)
def kept_view(path: str) -> str | None:
    """Name the view of the page at `path`; None when its pages are not kept."""
    with override(get_language_from_path(path) or settings.LANGUAGE_CODE):
        try:
            view = resolve(path).view_name
        except Resolver404:
            return None
    return view if view in KEPT else None


@lru_cache(maxsize=1024)
def known_parameters(view: str, query: str) -> str | None:
    """Bring a query string into its one form, without what the page does not know; None when Django must see it."""
    if view not in LISTS:
        return ""
    try:
        data = QueryDict(query.encode("latin-1"))
    except (SuspiciousOperation, UnicodeEncodeError):  # refused
        return None
    filters = Filters.read(data.dict())
    if filters.query:  # a search
        return None
    if view == "category":
        filters = replace(filters, category="")  # the path says it
    page = page_number(data.get("page", ""))
    return filters.parameters(page=str(page) if page > 1 else "").removeprefix("?")


def address_of(environ: "WSGIEnvironment") -> Address | None:
    """Return where the page that a request asks for is kept; None when it is Django's alone."""
    path: str = environ.get("PATH_INFO", "")
    query: str = environ.get("QUERY_STRING", "")
    if (
        environ["REQUEST_METHOD"] not in ("GET", "HEAD")
        or environ.get("SCRIPT_NAME")
        or not path.isascii()
        or len(path) > LONGEST
        or len(query) > LONGEST
        or not is_our_host(environ.get("HTTP_HOST", ""))
    ):
        return None
    view = kept_view(path)
    known = known_parameters(view, query) if view and query else ""
    return Address(path, known) if view and known is not None else None


@lru_cache(maxsize=256)
def is_our_host(host: str) -> bool:
    """Check a Host header as Django does."""
    domain, _port = split_domain_port(host)
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


GZIP = re.compile(r"(?:^|,)\s*(?:x-)?gzip\s*(?:;\s*q=([\d.]+)\s*)?(?:,|$)", re.IGNORECASE)


@lru_cache(maxsize=256)
def takes_gzip(accepted: str) -> bool:
    """Read an Accept-Encoding header (RFC 9110, 12.5.3)."""
    found = GZIP.search(accepted)
    return found is not None and (found[1] is None or found[1].strip("0.") != "")


def may_be_kept(status: str, headers: Headers) -> bool:
    """Say whether Django's answer is a public page that depends on nothing but its address."""
    named = {name.lower(): value.lower() for name, value in headers}
    varies = {name.strip() for name in named.get("vary", "").split(",")}
    return (
        status.startswith("200 ")
        and named.get("cache-control") == PUBLIC_CACHE_CONTROL
        and "set-cookie" not in named
        and "content-encoding" not in named
        # the address alone decides the language (`prefix_default_language=False`)
        and varies <= {"", "accept-language", "accept-encoding"}
    )


class PageStore:
    """A WSGI application around Django's."""

    def __init__(
        self, application: "WSGIApplication", *, clock: Callable[[], datetime] = timezone.now
    ) -> None:
        self.application = application
        self.clock = clock
        self.plain = Memory(PLAIN_BYTES)
        self.listed = Memory(LISTED_BYTES)
        self._release = release()
        self._triggers: bool | None = None  # whether they stand; None: not asked yet

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer from memory, or ask Django and keep what it says."""
        address = address_of(environ)
        version = self._version() if address is not None else None
        if address is None or version is None:
            return self.application(environ, start_response)
        tag = self._tag(address, version)
        if f'"{tag}"' in environ.get("HTTP_IF_NONE_MATCH", ""):
            # only who got this very page can know its tag, so it need not be at hand here
            start_response("304 Not Modified", identity(tag))
            return []
        memory = self.listed if address.query else self.plain
        page = memory.get(address)
        if page is None or page.tag != tag:
            status, headers, body = self._render(address, version, environ)
            if not may_be_kept(status, headers):
                start_response(status, headers)
                return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
            page = Page(tag, shown_headers(headers, tag), gzip.compress(body, COMPRESSION, mtime=0))
            memory.put(address, page)
        return send(page, environ, start_response)

    def _version(self) -> Version | None:
        """Read the version; None while the database does not tell."""
        connection.close_if_unusable_or_obsolete()  # Django does so at the start of its requests
        try:
            if self._triggers is None:
                broken = broken_triggers(connection)
                self._triggers = not broken
                if broken:
                    logger.error(
                        "pages are not kept: the database lacks or has altered %s; a migration that ends with "
                        "shop.pages.version.install puts them back",
                        ", ".join(broken),
                    )
            if not self._triggers:
                return None
            return current_version()
        except (Error, TypeError):
            return None

    def _tag(self, address: Address, version: Version) -> str:
        """Make the tag of a page out of all it depends on; nobody else can, so whoever sends it was given it."""
        period = delivery_period(self.clock())
        text = f"{version.token}\n{period}\n{address.path}\n{address.query}".encode()
        return urlsafe_b64encode(hashlib.blake2b(text, digest_size=15, key=self._release).digest()).decode()

    def _render(
        self, address: Address, version: Version, asked: "WSGIEnvironment"
    ) -> tuple[str, Headers, bytes]:
        """Let Django render a page for nobody."""
        storefront = urlsplit(settings.STOREFRONT_BASE_URL)
        environ: WSGIEnvironment = {
            name: value for name, value in asked.items() if not name.startswith(("HTTP_", "CONTENT_"))
        } | {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": address.path,
            "QUERY_STRING": address.query,
            "HTTP_HOST": storefront.netloc,
            "wsgi.url_scheme": storefront.scheme,
            "REMOTE_ADDR": client_address(asked),  # for the log
            "wsgi.input": io.BytesIO(),
        }
        started: list[tuple[str, Headers]] = []
        parts: list[bytes] = []

        def start(status: str, headers: Headers, _error: Any = None, /) -> Callable[[bytes], object]:
            started.append((status, headers))
            return parts.append

        outside = rendered_at.set(version)
        try:
            answer = self.application(environ, start)
            try:
                parts += answer
            finally:
                if hasattr(answer, "close"):
                    answer.close()
        finally:
            rendered_at.reset(outside)
        status, headers = started[-1]
        return status, headers, b"".join(parts)


def identity(tag: str) -> Headers:
    """Return the headers that a page and a 304 about it share (RFC 9110, 15.4.5)."""
    return [
        ("ETag", f'W/"{tag}"'),  # weak: the same page with and without compression
        ("Cache-Control", PUBLIC_CACHE_CONTROL),
        ("Vary", "Accept-Encoding"),
    ]


def shown_headers(headers: Headers, tag: str) -> tuple[tuple[str, str], ...]:
    """Return Django's headers of a page with ours in the place of those that we know better."""
    ours = {"etag", "cache-control", "vary", "content-length"}
    return (*((name, value) for name, value in headers if name.lower() not in ours), *identity(tag))


def send(page: Page, environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    """Send a page, compressed for whoever takes it so; HEAD gets the headers alone."""
    headers, body = list(page.headers), page.packed
    if takes_gzip(environ.get("HTTP_ACCEPT_ENCODING", "")):
        headers.append(("Content-Encoding", "gzip"))
    else:
        body = gzip.decompress(body)
    headers.append(("Content-Length", str(len(body))))
    start_response("200 OK", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
