"""Rate limits: how often one client may search, change the cart, order, send messages and try passwords.

Each limit is a token bucket per client: it holds `count` requests and refills evenly within `seconds`. When
it is empty, the response is 429. Its level is a row, so that all processes share it and it survives a
restart. One statement counts a request. For limits of 50 and more a process first counts up to a tenth in
memory, so that ordinary searches and cart changes write nothing; in exchange each process may exceed a limit
once, by at most that tenth. Refused clients are remembered in memory, too: a flood costs no statement.

Why not a library: django-ratelimit needs a cache with an atomic increment (Redis, Memcached; not the database
cache), which this shop does not have; django-axes limits logins only, and stores addresses and names in plain
text. Rows here hold a keyed hash of the client.
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

from kikaku.client_address import client_network
from kikaku.transactions import unit_of_work
from ops.models import RateBucket
from ops.web.errors import in_admin, too_many_logins
from shop.filters import Filters
from shop.forms import normalise_line
from shop.views.errors import too_many
from shop.views.origin import is_forged

logger = logging.getLogger(__name__)

LOGIN_RULE = "POST admin:login"
SEARCH_RULE = "GET search"
LISTS = ("GET product_list", "GET category")  # with words to search for they count as searches
DEVICE_COOKIE = (
    f"{settings.COOKIE_PREFIX}known_device"  # names the user that this browser has signed in as before
)
DEVICE_SALT = "ops.limits"
DEVICE_SECONDS = 90 * 24 * 3600
MAX_REMEMBERED_BUCKETS = 20_000  # per process, about 100 bytes each
LONGEST_WAIT = 60_000  # ms between the arrival of a request and its count, when the database is busy

# A token bucket in one number (GCRA): `due` is when the bucket will be full again. A refused request leaves
# the row unchanged and returns no row, so that refusals do not extend the wait. A `due` beyond the bucket's
# size was written by a request that arrived later and was counted earlier, or before the clock was set back
# if it is further away than a request waits.
COUNT_REQUEST_SQL = """
INSERT INTO ops_ratebucket (key, due) VALUES (%(key)s, %(now)s + %(cost)s)
ON CONFLICT (key) DO UPDATE SET due = CASE
    WHEN ops_ratebucket.due BETWEEN %(now)s AND %(now)s + %(size)s THEN ops_ratebucket.due + %(cost)s
    ELSE %(now)s + %(cost)s
END
WHERE ops_ratebucket.due + %(cost)s <= %(now)s + %(size)s
    OR ops_ratebucket.due > %(now)s + %(size)s + %(longest_wait)s
RETURNING due
"""


@dataclass(slots=True)
class BucketMemory:
    """What this process remembers of a bucket."""

    free: int  # further requests that pass without a statement
    uncounted: int = 0  # requests that have passed without a statement
    refused_until: int = 0  # ms


@dataclass(frozen=True)
class Limit:
    """A bucket of `count` requests that refills evenly within `seconds`."""

    count: int
    seconds: int

    @property
    def step(self) -> int:
        """Return the milliseconds in which the bucket regains one request."""
        return max(1, self.seconds * 1000 // self.count)

    @property
    def batch(self) -> int:
        """Return how many requests a process may count in memory: none for small limits, which are exact."""
        return self.count // 10 if self.count >= 50 else 0


_memory: OrderedDict[str, BucketMemory] = OrderedDict()
_memory_lock = threading.Lock()


def clear_memory() -> None:
    """Clear what this process remembers; the rows stay."""
    with _memory_lock:
        _memory.clear()


def count_request(limit: Limit, key: str, *, now: float, must_count: bool = False) -> int:
    """Count one request against the bucket `key` and return 0 if it may pass, else the seconds to wait.

    `now` is in seconds since 1970. If the database does not answer, the request passes: a shop without limits
    is better than none. With `must_count` the database's error is raised instead.
    """
    at = int(now * 1000)
    with _memory_lock:
        known = _memory.get(key)
        if known is None:
            known = _memory[key] = BucketMemory(free=limit.batch)
            if len(_memory) > MAX_REMEMBERED_BUCKETS:
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
                COUNT_REQUEST_SQL,
                {
                    "key": key,
                    "now": at,
                    "cost": min(requests * limit.step, size),
                    "size": size,
                    "longest_wait": LONGEST_WAIT,
                },
            )
            row = cursor.fetchone()
    except DatabaseError:
        if must_count:
            raise
        logger.exception("a request could not be counted and passes")
        return 0
    with _memory_lock:
        if row is not None:
            known.free = min(limit.batch, (at + size - row[0]) // limit.step // 2)
            return 0
        known.refused_until = at + limit.step
    logger.warning("%s: too many requests of one client, or for one user name", key.partition(":")[0])
    return math.ceil(limit.step / 1000)


def bucket_key(name: str, *parts: str) -> str:
    """Return the key of a bucket: a hash, so that the database holds neither addresses nor user names."""
    text = "\0".join((name, *parts)).encode("utf-8", "surrogatepass")
    return f"{name}:{hmac.new(settings.SECRET_KEY.encode(), text, hashlib.sha256).hexdigest()[:32]}"


@unit_of_work
def prune(*, now: float) -> int:
    """Delete the rows of buckets that are full again; return how many."""
    return RateBucket.objects.filter(due__lt=int(now * 1000)).delete()[0]


# ── Logins ───────────────────────────────────────────────────────────────────────────────────────────────
# A user name has a limit, too, because an attacker may use many addresses. So that this does not lock its
# owner out, a browser that has signed in before carries a signed cookie and has its own bucket (OWASP's
# "device cookie").


def device_of(request: HttpRequest, name: str) -> str:
    """Return the random id of a browser that has signed in with this user name before, else ""."""
    try:
        known, device = signing.loads(
            request.COOKIES.get(DEVICE_COOKIE, ""), salt=DEVICE_SALT, max_age=DEVICE_SECONDS
        )
    except (signing.BadSignature, ValueError, TypeError):
        return ""
    return str(device) if hmac.compare_digest(str(known).encode(), bucket_key("name", name).encode()) else ""


def remember_device(response: HttpResponse, name: str) -> None:
    """Set the cookie that identifies a browser that has just signed in."""
    response.set_cookie(
        DEVICE_COOKIE,
        signing.dumps([bucket_key("name", name), secrets.token_urlsafe(12)], salt=DEVICE_SALT),
        max_age=DEVICE_SECONDS,
        secure=settings.PRODUCTION,
        httponly=True,
        samesite="Lax",
    )


# ── The middleware ───────────────────────────────────────────────────────────────────────────────────────


def rule_of(request: HttpRequest) -> str:
    """Return the key of `settings.RATE_LIMITS` under which a request counts: method and name of its view."""
    match = request.resolver_match
    method = "GET" if request.method == "HEAD" else request.method
    rule = f"{method} {match.view_name if match else ''}"
    return SEARCH_RULE if rule in LISTS and Filters.read(request.GET.dict()).query else rule


class RateLimitMiddleware:
    """Middleware that counts the requests named in `settings.RATE_LIMITS` and refuses too many of them."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Return the response; after a sign-in it sets the device cookie."""
        response = self.get_response(request)
        name = getattr(request, "_login_name", "")
        signed_in = name and response.status_code == 302 and request.user.is_authenticated
        if signed_in and not device_of(request, name):
            remember_device(response, name)
        return response

    def process_view(
        self, request: HttpRequest, view: Any, arguments: Any, keywords: Any
    ) -> HttpResponse | None:
        """Return 429 for a request beyond its limit, before the view costs anything.

        What is refused as another site's forgery is not counted, since its visitor did not send it.
        """
        rule = rule_of(request)
        if rule not in settings.RATE_LIMITS or is_forged(view, request):
            return None
        now = time.time()
        limit = Limit(*settings.RATE_LIMITS[rule])
        client = client_network(request.META["REMOTE_ADDR"])
        wait = count_request(limit, bucket_key(rule, client), now=now)
        if not wait and rule == LOGIN_RULE:
            name = normalise_line(request.POST.get("username", "")).casefold()
            request._login_name = name  # type: ignore[attr-defined]
            device = device_of(request, name)
            subject = ("device", device) if device else ("name", name)
            wait = count_request(Limit(*settings.LOGIN_LIMIT_PER_NAME), bucket_key(*subject), now=now)
        if not wait:
            return None
        response = (
            too_many_logins(request, seconds=wait) if in_admin(request) else too_many(request, seconds=wait)
        )
        response["Retry-After"] = str(wait)
        # else Django logs a line for each request of a flood
        response._has_been_logged = True  # type: ignore[attr-defined]
        return response
