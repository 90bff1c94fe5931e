"""The page store: public pages are rendered once for each version of the catalogue and stored compressed.

It is a WSGI layer around Django (`settings.WSGI_LAYERS`), since Django's request handling costs more than the
page. Why a stored page is correct:

- The version (`shop.pages.version`) is read from the database for every request, before anything is rendered.
  Database triggers change it with every write that a page shows. A page is stored under that version, and is
  served only while that version is current, so it is never older than the last commit.
- A page is rendered from a request that the store builds itself (host, path, known parameters, no cookie, no
  header of the visitor), not from the visitor's, so nothing that one visitor sends can get into the page of
  another.
- Every other request goes to Django unchanged: other methods, other URLs, unknown hosts, a database that is
  down.
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

from corsheaders.middleware import CorsMiddleware
from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, QueryDict
from django.http.request import split_domain_port, validate_host
from django.urls import Resolver404, resolve
from django.utils import timezone
from django.utils.translation import get_language_from_path, override

from kikaku.client_address import client_address
from ledger.sales.delivery import delivery_period
from shop.filters import Filters, page_number, read_sku
from shop.pages.render import PUBLIC_CACHE_CONTROL
from shop.pages.version import Version, broken_triggers, current_version, rendering_version
from shop.paging import BadPaging, Paging

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

logger = logging.getLogger(__name__)

LIST_VIEWS = {"product_list", "category"}  # their pages depend on query parameters; a product's on `sku`
# Search results are not stored: there are too many, and each counts against its visitor's rate limit.
API_PATH = "/api/"
API_VIEWS = {"api_products", "api_product", "api_document"}
STORED_VIEWS = LIST_VIEWS | API_VIEWS | {"home", "product", "page"}
MAX_BYTES_WITHOUT_QUERY = 32_000_000  # in each process; a page takes about 6,000
# lists with parameters have a cache of their own: a crawler that requests all of them evicts no other page
MAX_LIST_BYTES = 8_000_000
MAX_API_BYTES = 8_000_000  # of the JSON catalogue's pages, for the same reason
PAGE_OVERHEAD = 3_000  # bytes, estimated, of the headers of a page and its entry in the cache
GZIP_LEVEL = 4  # 25 % faster than 6, pages are 2 % larger
MAX_URL_LENGTH = 1_000  # characters of a path or a query; longer ones go to Django
SOURCE_FOLDERS = ("kikaku", "ledger", "shop", "ops", "templates", "static")
SOURCE_TYPES = {".py", ".html", ".txt", ".svg", ".css", ".js", ".json", ".mo"}

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class PageKey:
    """What the content of a page depends on, besides version, release and time."""

    path: str
    query: str  # canonical: only known parameters, in a fixed order


@dataclass(frozen=True, slots=True)
class Page:
    """A stored page."""

    tag: str  # its ETag, without quotes
    headers: tuple[tuple[str, str], ...]  # without Content-Encoding and Content-Length
    compressed: bytes  # gzip


class PageCache:
    """An LRU cache of pages, limited to `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self._pages: OrderedDict[PageKey, Page] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._pages)

    def get(self, key: PageKey) -> Page | None:
        """Return the page that was stored last under a key."""
        with self._lock:
            page = self._pages.get(key)
            if page is not None:
                self._pages.move_to_end(key)
            return page

    def put(self, key: PageKey, page: Page) -> None:
        """Store a page in the place of the one before it; evict others if there is no room."""
        with self._lock:
            replaced = self._pages.pop(key, None)
            if replaced is not None:
                self.size -= len(replaced.compressed) + PAGE_OVERHEAD
            self._pages[key] = page
            self.size += len(page.compressed) + PAGE_OVERHEAD
            while self.size > self.limit:
                _key, evicted = self._pages.popitem(last=False)
                self.size -= len(evicted.compressed) + PAGE_OVERHEAD


def release_fingerprint() -> bytes:
    """Return a hash of what renders pages: code, templates, assets, translations, settings.

    Releases that run side by side or one after the other then have different ETags. The hash is keyed with
    `SECRET_KEY`, so that the ETags cannot be guessed.
    """
    digest = hashlib.blake2b(settings.SECRET_KEY.encode(), digest_size=32)
    base = Path(settings.BASE_DIR)
    files = [base / "requirements.txt"]
    for folder in SOURCE_FOLDERS:
        files += (path for path in (base / folder).rglob("*") if path.suffix in SOURCE_TYPES)
    for path in sorted(files):
        name = path.relative_to(base)
        if {"tests", "testing"}.isdisjoint(name.parts) and path.is_file():
            content = hashlib.blake2b(path.read_bytes()).digest()
            digest.update(str(name).encode() + b"\0" + content)
    used_settings = (settings.STOREFRONT_BASE_URL, settings.R2_PUBLIC_URL, settings.CONTENT_SECURITY_POLICY)
    digest.update(repr(used_settings).encode())
    return digest.digest()


@lru_cache(maxsize=2048)
def stored_view(path: str) -> str | None:
    """Return the name of the view at `path`; None if its pages are not stored."""
    with override(get_language_from_path(path) or settings.LANGUAGE_CODE):
        try:
            view = resolve(path).view_name
        except Resolver404:
            return None
    return view if view in STORED_VIEWS else None


@lru_cache(maxsize=1024)
def canonical_query(view: str, query: str) -> str | None:
    """Return a query string with only known parameters in a fixed order; None if Django must answer."""
    if view not in LIST_VIEWS and view not in ("product", "api_products"):
        return ""
    try:
        data = QueryDict(query.encode("latin-1"))
    except (SuspiciousOperation, UnicodeEncodeError):  # Django answers 400
        return None
    if view == "api_products":
        try:
            return Paging.read(data.dict()).parameters()
        except BadPaging:
            return None
    if view == "product":
        sku = read_sku(data.dict())
        return f"sku={sku}" if sku else ""
    filters = Filters.read(data.dict())
    if filters.query:  # a search
        return None
    if view == "category":
        filters = replace(filters, category="")  # it is in the path
    page = page_number(data.get("page", ""))
    return filters.parameters(page=str(page) if page > 1 else "").removeprefix("?")


def page_key(environ: "WSGIEnvironment") -> PageKey | None:
    """Return the key of the page that is requested; None if Django must answer."""
    path: str = environ.get("PATH_INFO", "")
    query: str = environ.get("QUERY_STRING", "")
    if (
        environ["REQUEST_METHOD"] not in ("GET", "HEAD")
        or environ.get("SCRIPT_NAME")
        or not path.isascii()
        or len(path) > MAX_URL_LENGTH
        or len(query) > MAX_URL_LENGTH
        or not is_allowed_host(environ.get("HTTP_HOST", ""))
    ):
        return None
    view = stored_view(path)
    if view is None:
        return None
    canonical = canonical_query(view, query) if query else ""
    return None if canonical is None else PageKey(path, canonical)


@lru_cache(maxsize=256)
def is_allowed_host(host: str) -> bool:
    """Return whether a Host header names this shop, as Django checks it."""
    domain, _port = split_domain_port(host)
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


GZIP_ACCEPTED = re.compile(r"(?:^|,)\s*(?:x-)?gzip\s*(?:;\s*q=([\d.]+)\s*)?(?:,|$)", re.IGNORECASE)


@lru_cache(maxsize=256)
def accepts_gzip(accepted: str) -> bool:
    """Return whether an Accept-Encoding header allows gzip (RFC 9110, 12.5.3)."""
    found = GZIP_ACCEPTED.search(accepted)
    return found is not None and (found[1] is None or found[1].strip("0.") != "")


def is_storable(status: str, headers: Headers) -> bool:
    """Return whether Django's answer is a public page that depends on nothing but its key."""
    named = {name.lower(): value.lower() for name, value in headers}
    varies = {name.strip() for name in named.get("vary", "").split(",")}
    return (
        status.startswith("200 ")
        and named.get("cache-control") == PUBLIC_CACHE_CONTROL
        and "set-cookie" not in named
        and "content-encoding" not in named
        # the path alone decides the language (`prefix_default_language=False`), and it is rendered without
        # an origin: `cross_origin` adds what an answer says about that
        and varies <= {"", "accept-language", "accept-encoding", "origin"}
    )


class PageStore:
    """A WSGI application that answers with stored pages, around Django's."""

    def __init__(
        self, application: "WSGIApplication", *, clock: Callable[[], datetime] = timezone.now
    ) -> None:
        self.application = application
        self.clock = clock
        self.pages_without_query = PageCache(MAX_BYTES_WITHOUT_QUERY)
        self.list_pages = PageCache(MAX_LIST_BYTES)
        self.api_pages = PageCache(MAX_API_BYTES)
        self._release = release_fingerprint()
        self._triggers_intact: bool | None = None  # None: not checked yet

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer with the stored page, or with Django's answer, which is stored if it is a public page."""
        key = page_key(environ)
        version = self._read_version() if key is not None else None
        if key is None or version is None:
            return self.application(environ, start_response)
        tag = self._tag(key, version)
        if f'"{tag}"' in environ.get("HTTP_IF_NONE_MATCH", ""):
            # the tag cannot be guessed: the client has this page, whether it is stored here or not
            start_response("304 Not Modified", shared_headers(tag, key.path) + cross_origin(environ))
            return []
        cache = self._cache(key)
        page = cache.get(key)
        if page is None or page.tag != tag:
            status, headers, body = self._render(key, version, environ)
            if not is_storable(status, headers):
                start_response(status, headers + cross_origin(environ))
                return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
            page = Page(tag, stored_headers(headers, tag, key.path), gzip.compress(body, GZIP_LEVEL, mtime=0))
            cache.put(key, page)
        return send(page, environ, start_response)

    def _cache(self, key: PageKey) -> PageCache:
        if key.path.startswith(API_PATH):
            return self.api_pages
        return self.list_pages if key.query else self.pages_without_query

    def _read_version(self) -> Version | None:
        """Return the version; None if the database cannot be read.

        Missing triggers turn the store off until the process starts again.
        """
        connection.close_if_unusable_or_obsolete()  # as Django does when a request starts
        try:
            if self._triggers_intact is None:
                broken = broken_triggers(connection)
                self._triggers_intact = not broken
                if broken:
                    logger.error(
                        "page store is off: triggers missing or altered in the database: %s; "
                        "add a migration that ends with shop.pages.version.install",
                        ", ".join(broken),
                    )
            if not self._triggers_intact:
                return None
            return current_version()
        except (Error, TypeError):  # TypeError: the version row is missing
            return None

    def _tag(self, key: PageKey, version: Version) -> str:
        """Return the ETag of a page: a keyed hash of all that it depends on, so it cannot be guessed."""
        # pages show an expected delivery, which changes at the cut-off and at midnight
        period = delivery_period(self.clock())
        text = f"{version.token}\n{period}\n{key.path}\n{key.query}".encode()
        return urlsafe_b64encode(hashlib.blake2b(text, digest_size=15, key=self._release).digest()).decode()

    def _render(
        self, key: PageKey, version: Version, received: "WSGIEnvironment"
    ) -> tuple[str, Headers, bytes]:
        """Return status, headers, body of a page, rendered from a request without the visitor's headers."""
        storefront = urlsplit(settings.STOREFRONT_BASE_URL)
        environ: WSGIEnvironment = {
            name: value for name, value in received.items() if not name.startswith(("HTTP_", "CONTENT_"))
        } | {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": key.path,
            "QUERY_STRING": key.query,
            "HTTP_HOST": storefront.netloc,
            "wsgi.url_scheme": storefront.scheme,
            "REMOTE_ADDR": client_address(received),  # for the log
            "wsgi.input": io.BytesIO(),
        }
        started: list[tuple[str, Headers]] = []
        parts: list[bytes] = []

        def start(status: str, headers: Headers, _error: Any = None, /) -> Callable[[bytes], object]:
            started.append((status, headers))
            return parts.append

        previous = rendering_version.set(version)
        try:
            response = self.application(environ, start)
            try:
                parts += response
            finally:
                if hasattr(response, "close"):
                    response.close()
        finally:
            rendering_version.reset(previous)
        status, headers = started[-1]
        return status, headers, b"".join(parts)


def cross_origin(environ: "WSGIEnvironment") -> Headers:
    """Return what allows the page of another origin to read this answer; a stored page is for all origins."""
    path, origin = environ["PATH_INFO"], environ.get("HTTP_ORIGIN", "")
    if not origin or not path.startswith(API_PATH):
        return []
    request = HttpRequest()
    request.path_info = path
    request.META["HTTP_ORIGIN"] = origin
    answer = CorsMiddleware(lambda _request: HttpResponse()).add_response_headers(request, HttpResponse())
    return [(name, value) for name, value in answer.items() if name.lower().startswith("access-control-")]


def shared_headers(tag: str, path: str) -> Headers:
    """Return the headers that a page shares with its 304 (RFC 9110, 15.4.5)."""
    return [
        ("ETag", f'W/"{tag}"'),  # weak: the same page with and without compression
        ("Cache-Control", PUBLIC_CACHE_CONTROL),
        ("Vary", "Accept-Encoding, Origin" if path.startswith(API_PATH) else "Accept-Encoding"),
    ]


def stored_headers(headers: Headers, tag: str, path: str) -> tuple[tuple[str, str], ...]:
    """Return Django's headers of a page, with the page store's own in their place."""
    replaced = {"etag", "cache-control", "vary", "content-length"}
    return (
        *((name, value) for name, value in headers if name.lower() not in replaced),
        *shared_headers(tag, path),
    )


def send(page: Page, environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    """Send a page, compressed if the client accepts gzip; HEAD gets only the headers."""
    headers, body = [*page.headers, *cross_origin(environ)], page.compressed
    if accepts_gzip(environ.get("HTTP_ACCEPT_ENCODING", "")):
        headers.append(("Content-Encoding", "gzip"))
    else:
        body = gzip.decompress(body)
    headers.append(("Content-Length", str(len(body))))
    start_response("200 OK", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
