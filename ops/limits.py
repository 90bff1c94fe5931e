"""Rate limits: how often one client may search, fill carts, order, write to us and try passwords.

Each limit is a bucket per client that holds `count` requests and refills evenly within `seconds`; empty, it answers 429.
Its level is a row, so that all processes share it and a restart forgets nothing. One statement counts a request. Of a
limit of 50 and more a process counts up to a tenth in memory first, so that people who search or fill a cart write
nothing; the price is that each process may let that tenth through once beyond the limit. And it remembers whom it
refuses: a flood costs no statement either.

Why not a library: django-ratelimit needs a cache with an atomic increment (Redis, Memcached; it refuses the database's),
which this shop does without; django-axes knows logins only, and keeps addresses and names as they are. Rows here carry
a keyed hash of the client, not his address.
"""

import hashlib
import hmac
import logging
import math
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core import signing
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse
from django.template.loader import get_template
from django.utils.cache import add_never_cache_headers
from django.utils.translation import get_language

from kikaku.client_address import client_network
from kikaku.transactions import unit_of_work
from ops.audit import ADMIN_PATH
from ops.models import RateBucket
from shop.forms import one_form
from shop.views.errors import too_many

logger = logging.getLogger(__name__)

LOGIN = "POST admin:login"
DEVICE_COOKIE = "known_device"  # of staff: says which user name this browser has signed in with before
DEVICE_SALT = "ops.limits"
DEVICE_SECONDS = 90 * 24 * 3600
REMEMBERED = 20_000  # buckets that a process remembers; a hundred bytes each

# `due` is when the bucket will be full again. A bucket that can not pay stays as it is, and no row comes back: being
# refused costs a client nothing further. A `due` beyond the bucket's size is of a clock that was set back since.
COUNT = """
INSERT INTO ops_ratebucket (key, due) VALUES (%(key)s, %(now)s + %(cost)s)
ON CONFLICT (key) DO UPDATE SET due = CASE
    WHEN ops_ratebucket.due BETWEEN %(now)s AND %(now)s + %(size)s THEN ops_ratebucket.due + %(cost)s
    ELSE %(now)s + %(cost)s
END
WHERE ops_ratebucket.due + %(cost)s <= %(now)s + %(size)s OR ops_ratebucket.due > %(now)s + %(size)s
RETURNING due
"""


@dataclass(slots=True)
class Memory:
    """What this process knows of a bucket."""

    free: int  # requests that may still pass without a statement
    uncounted: int = 0  # requests that passed so
    refused_until: int = 0  # ms


@dataclass(frozen=True)
class Limit:
    """`count` requests at once, and as many again within `seconds`."""

    count: int
    seconds: int

    @property
    def step(self) -> int:
        """Milliseconds that it takes to earn one request."""
        return max(1, self.seconds * 1000 // self.count)

    @property
    def batch(self) -> int:
        """How many requests a process may count in memory: small limits are exact."""
        return self.count // 10 if self.count >= 50 else 0


_memory: OrderedDict[str, Memory] = OrderedDict()
_memory_lock = threading.Lock()


def forget() -> None:
    """Forget what this process has counted in memory; the rows stay."""
    with _memory_lock:
        _memory.clear()


def seconds_to_wait(limit: Limit, key: str, *, now: float) -> int:
    """Count one request against the bucket `key`; 0 when it may pass, else the seconds after which the next one may.

    `now` is in seconds since 1970. When the database does not answer the request passes: a shop that sells without
    limits is better than none.
    """
    at = int(now * 1000)
    with _memory_lock:
        known = _memory.get(key)
        if known is None:
            known = _memory[key] = Memory(free=limit.batch)
            if len(_memory) > REMEMBERED:
                _memory.popitem(last=False)
        _memory.move_to_end(key)
        if at < known.refused_until <= at + limit.step:
            return math.ceil((known.refused_until - at) / 1000)
        if known.free > 0:
            known.free -= 1
            known.uncounted += 1
            return 0
        requests, known.uncounted = known.uncounted + 1, 0
    size = limit.count * limit.step
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                COUNT, {"key": key, "now": at, "cost": min(requests * limit.step, size), "size": size}
            )
            row = cursor.fetchone()
    except DatabaseError:
        logger.exception("a request could not be counted and passes")
        return 0
    with _memory_lock:
        if row is not None:
            known.free = min(limit.batch, (at + size - row[0]) // limit.step // 2)
            return 0
        known.refused_until = at + limit.step
    logger.warning("%s: too many requests of one client, or for one user name", key.partition(":")[0])
    return math.ceil(limit.step / 1000)


def bucket(name: str, *whom: str) -> str:
    """Name a bucket; the database is told neither addresses nor user names."""
    text = "\0".join((name, *whom)).encode("utf-8", "surrogatepass")
    return f"{name}:{hmac.new(settings.SECRET_KEY.encode(), text, hashlib.sha256).hexdigest()[:32]}"


@unit_of_work
def prune(*, now: float) -> int:
    """Delete the rows of buckets that are full again; returns how many."""
    return RateBucket.objects.filter(due__lt=int(now * 1000)).delete()[0]


# ── Logins ───────────────────────────────────────────────────────────────────────────────────────────────
# A user name is limited too, for an attacker has many addresses. So that he can not lock its owner out, a browser that
# has signed in before is known by a signed cookie and has a bucket of its own (OWASP calls it a device cookie).


def device_of(request: HttpRequest, name: str) -> str:
    """Return the random id of a browser that has signed in with this user name before, else an empty text."""
    try:
        known, device = signing.loads(
            request.COOKIES.get(DEVICE_COOKIE, ""), salt=DEVICE_SALT, max_age=DEVICE_SECONDS
        )
    except (signing.BadSignature, ValueError, TypeError):
        return ""
    return str(device) if hmac.compare_digest(str(known).encode(), bucket("name", name).encode()) else ""


def remember_device(response: HttpResponse, name: str) -> None:
    """Give the browser that has just signed in the cookie by which it is known next time."""
    response.set_cookie(
        DEVICE_COOKIE,
        signing.dumps([bucket("name", name), secrets.token_urlsafe(12)], salt=DEVICE_SALT),
        max_age=DEVICE_SECONDS,
        secure=settings.PRODUCTION,
        httponly=True,
        samesite="Lax",
    )


# ── The middleware ───────────────────────────────────────────────────────────────────────────────────────


class RateLimitMiddleware:
    """Count the requests that `settings.RATE_LIMITS` names, and refuse what is too much."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer; a browser that signed in is known from now on."""
        response = self.get_response(request)
        name = getattr(request, "_login_name", "")
        signed_in = name and response.status_code == 302 and request.user.is_authenticated
        if signed_in and not device_of(request, name):
            remember_device(response, name)
        return response

    def process_view(
        self, request: HttpRequest, view: Any, arguments: Any, keywords: Any
    ) -> HttpResponse | None:
        """Refuse a request before its view, its form's check and its session cost anything."""
        match = request.resolver_match
        method = "GET" if request.method == "HEAD" else request.method
        rule = f"{method} {match.view_name if match else ''}"
        if rule not in settings.RATE_LIMITS:
            return None
        now = time.time()
        limit = Limit(*settings.RATE_LIMITS[rule])
        client = client_network(request.META["REMOTE_ADDR"])
        wait = seconds_to_wait(limit, bucket(rule, client), now=now)
        if not wait and rule == LOGIN:
            name = one_form(request.POST.get("username", "")).casefold()
            request._login_name = name  # type: ignore[attr-defined]
            device = device_of(request, name)
            whom = ("device", device) if device else ("name", name)
            wait = seconds_to_wait(Limit(*settings.LOGIN_LIMIT_PER_NAME), bucket(*whom), now=now)
        if not wait:
            return None
        response = self._plain(wait) if ADMIN_PATH.match(request.path) else too_many(request, seconds=wait)
        response["Retry-After"] = str(wait)
        # Django would write a line for each request of a flood
        response._has_been_logged = True  # type: ignore[attr-defined]
        return response

    @staticmethod
    def _plain(wait: int) -> HttpResponse:
        """Answer staff without the shop around it."""
        context = {"language": get_language(), "minutes": math.ceil(wait / 60)}
        response = HttpResponse(get_template("ops/too_many.html").render(context), status=429)
        add_never_cache_headers(response)
        return response
