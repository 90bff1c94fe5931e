"""The stand-in: an object that answers requests, plays the customers and delivers events."""

import contextlib
import http.client
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from email.utils import formatdate
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from kikaku.sandbox import (
    api,
    balance,
    card_payments,
    events,
    hosted_page,
    konbini,
    refunds,
    scheduler,
    voucher_page,
)
from kikaku.sandbox.checkout import origin_of
from kikaku.sandbox.clock_lock import exclusive_clock, shared_clock
from kikaku.sandbox.errors import ApiError
from kikaku.sandbox.events import Delivery
from kikaku.sandbox.http import (
    MAX_BODY_BYTES,
    Request,
    Response,
    check_api_key,
    check_version,
    json_bytes,
    json_response,
)
from kikaku.sandbox.payments import PayResult
from kikaku.sandbox.state import LOCK_TIMEOUT_SECONDS, StateFile, Transaction, random_text

API_VERSION = "2026-08-26.dahlia"
DELIVERY_TIMEOUT_SECONDS = 20
_DELIVERY_LEASE_SECONDS = 60
_DELIVERIES_PER_ROUND = 50

logger = logging.getLogger(__name__)


class _Page(Protocol):
    """A module that serves the pages below one path, one for each session."""

    def show(self, tx: Transaction, session_id: str, query: str) -> Response: ...

    def submit(self, tx: Transaction, session_id: str, encoded: str) -> Response: ...


_PAGES: dict[str, _Page] = {"/c/pay/": hosted_page, konbini.VOUCHER_PATH: voucher_page}


class Sandbox:
    """A stand-in for Stripe on one state file; several may share the file, in threads and in processes.

    Args:
        state: the SQLite file; it is created, with its folder, if it is missing.
        base_url: address of the hosted page, for `session.url`.
        webhook_url: address to which `deliver_due` posts events. None: they are only stored
            (`pending_deliveries`).
        webhook_secret: secret that signs the deliveries.
        api_version: the only version supported; events carry it.
        return_origins: if any, `success_url` and `cancel_url` must have one of these origins.
        book_refunds_at_once: whether the balance transaction of a konbini refund is booked when the refund is
            created, and reversed when it fails or is cancelled, instead of booked when it succeeds. Stripe's
            documents allow both.
        clock: seconds since the epoch; replaceable at any time (`sandbox.clock = …`), so that demo histories
        and
            tests run in the past. Signatures of webhooks always carry the real time, which their receiver
            checks.
        lock_timeout: seconds to wait for other writers of the state file.
        observer: called after every `handle` with the request and its response.
    """

    def __init__(
        self,
        state: Path,
        *,
        base_url: str = "http://127.0.0.1:8001",
        webhook_url: str | None = None,
        webhook_secret: str = "whsec_sandbox",  # noqa: S107  (a stand-in's secret protects nothing)
        api_version: str = API_VERSION,
        return_origins: Sequence[str] = (),
        book_refunds_at_once: bool = False,
        clock: Callable[[], float] = time.time,
        lock_timeout: float = LOCK_TIMEOUT_SECONDS,
        observer: Callable[[Request, Response], None] | None = None,
    ) -> None:
        for address in (base_url, *return_origins, *([webhook_url] if webhook_url is not None else [])):
            if origin_of(address) is None:
                raise ValueError(f"Not an http(s) address: {address!r}")
        if not webhook_secret:
            raise ValueError("The webhook secret must not be empty.")
        self.base_url = base_url.rstrip("/")
        self.webhook_url = webhook_url
        self.webhook_secret = webhook_secret
        self.api_version = api_version
        self.return_origins = tuple(return_origins)
        self.book_refunds_at_once = book_refunds_at_once
        self.clock = clock
        self.observer = observer
        self._holds_clock = False
        self._state = StateFile(state, lock_timeout=lock_timeout)

    @property
    def state_path(self) -> Path:
        """Return the path of the state file."""
        return self._state.path

    # ── Requests ─────────────────────────────────────────────────────────────────────────────────────────

    def handle(self, request: Request) -> Response:
        """Return the response to one request: the API below /v1/, the customers' pages, and /health."""
        request_id = "req_" + random_text(14)
        try:
            response = self._answer(request, request_id)
        except ApiError as refusal:
            response = json_response(refusal.status, json_bytes(refusal.body()))
        except Exception as error:
            logger.exception("%s failed", request_id)
            failure = _failure(error)
            response = json_response(failure.status, json_bytes(failure.body()))
        response.headers["Request-Id"] = request_id
        response.headers["Date"] = formatdate(self.clock(), usegmt=True)
        if self.observer is not None:
            self.observer(request, response)
        return response

    def _answer(self, request: Request, request_id: str) -> Response:
        if len(request.body) > MAX_BODY_BYTES:
            raise ApiError(413, f"The request body exceeds {MAX_BODY_BYTES:,} bytes.")
        raw_path, _, query = request.target.partition("?")
        path = unquote(raw_path)
        if path == "/health" and request.method in {"GET", "HEAD"}:
            return json_response(200, b'{"ok":true}')
        for prefix, customer_page in _PAGES.items():
            if path.startswith(prefix):
                return self._page(request, customer_page, path.removeprefix(prefix), query, request_id)
        if not path.startswith("/v1/"):
            raise ApiError(404, f"There is nothing at {path[:200]}.")
        return self._api(request, path, query, request_id)

    def _api(self, request: Request, path: str, query: str, request_id: str) -> Response:
        check_api_key(request)
        check_version(request, self.api_version)
        posted = request.method == "POST"
        key = request.header("Idempotency-Key") if posted else None
        self._run_due()
        with self._transaction(write=posted, request_id=request_id, idempotency_key=key) as tx:
            answer = api.call(
                tx,
                request.method,
                path,
                _form(request) if posted else query,
                settings=api.Settings(self.base_url, self.return_origins, self.book_refunds_at_once),
                idempotency_key=key,
            )
        response = json_response(answer.status, answer.body, Stripe_Version=self.api_version)
        if key is not None:
            response.headers["Idempotency-Key"] = key.encode("latin-1", "replace").decode("latin-1")
            response.headers["Original-Request"] = answer.replay_of or request_id
        if answer.replay_of is not None:
            response.headers["Idempotent-Replayed"] = "true"
        return response

    def _page(
        self, request: Request, customer_page: _Page, session_id: str, query: str, request_id: str
    ) -> Response:
        if request.method not in {"GET", "HEAD", "POST"}:
            return Response(
                405, {"Allow": "GET, HEAD, POST", "Content-Type": "text/plain"}, b"Method Not Allowed"
            )
        self._run_due()
        if request.method != "POST":
            with self._transaction(write=False) as tx:
                return customer_page.show(tx, session_id, query)
        form = _form(request)
        with self._transaction(write=True, request_id=request_id) as tx:
            return customer_page.submit(tx, session_id, form)

    # ── Acts of a customer ───────────────────────────────────────────────────────────────────────────────

    def pay(self, session_id: str, *, card: str = "4242424242424242") -> PayResult:
        """Try to pay a session with a test card, as the hosted page does.

        Raises:
            UnknownSession: there is no such session.
            SessionNotOpen: it is complete or expired.
            MethodNotOffered: it was created without cards.
        """
        self._run_due()
        with self._transaction(write=True) as tx:
            return card_payments.submit_card(tx, session_id, card)

    def hold_reserve(self, amount: int) -> None:
        """Move an amount of the balance into Stripe's risk reserve."""
        with self._transaction(write=True) as tx:
            balance.hold_reserve(tx, amount)

    def authenticate(self, session_id: str, *, succeeds: bool = True) -> PayResult:
        """Answer the authentication that a card requires (`pay` returned `requires_action`).

        Raises:
            UnknownSession, SessionNotOpen, MethodNotOffered: as `pay`.
            NothingToAuthenticate: no authentication is under way.
        """
        self._run_due()
        with self._transaction(write=True) as tx:
            return card_payments.answer_authentication(tx, session_id, succeeds=succeeds)

    def choose_konbini(self, session_id: str, *, customer: konbini.Customer | None = None) -> PayResult:
        """Choose payment at a convenience store: a voucher is issued, the session is complete and unpaid.

        Raises:
            UnknownSession, SessionNotOpen: as `pay`.
            MethodNotOffered: it was created without konbini.
        """
        self._run_due()
        with self._transaction(write=True) as tx:
            return konbini.issue_voucher(tx, session_id, customer)

    def pay_voucher(self, session_id: str, *, chain: str = "familymart") -> PayResult:
        """Pay a voucher at the counter of one of `konbini.CHAINS`.

        Raises:
            UnknownSession: there is no such session.
            NoVoucher: it has no unpaid voucher.
        """
        self._run_due()
        with self._transaction(write=True) as tx:
            return konbini.pay_voucher(tx, session_id, chain=chain)

    def expire_voucher(self, session_id: str) -> None:
        """Expire a voucher now.

        Raises:
            UnknownSession, NoVoucher: as `pay_voucher`.
        """
        self._run_due()
        with self._transaction(write=True) as tx:
            konbini.expire_voucher(tx, session_id)

    def claim_refund(self, refund_id: str, *, bank_accepts: bool = True) -> None:
        """Answer the mail about a refund with a bank account: the refund is `pending` and ends seconds later.

        With `bank_accepts=False` the account does not exist, and the refund asks the customer again.

        Raises:
            UnknownRefund: there is no such refund.
            RefundNotWaiting: it does not wait for its customer.
        """
        self._run_due()
        with self._transaction(write=True) as tx:
            refunds.claim_refund(tx, refund_id, bank_accepts=bank_accepts)

    def ignore_refund(self, refund_id: str) -> None:
        """End the 45 days in which a customer may answer the mail about a refund: the refund fails.

        Raises:
            UnknownRefund, RefundNotWaiting: as `claim_refund`.
        """
        self._run_due()
        with self._transaction(write=True) as tx:
            refunds.ignore_refund(tx, refund_id)

    def expire_due(self) -> int:
        """Run all due tasks; return how many sessions expired."""
        return self._run_due().get("expire session", 0)

    # ── Webhooks ─────────────────────────────────────────────────────────────────────────────────────────

    def pending_deliveries(self) -> list[Delivery]:
        """Return the events to deliver now, oldest first, newly signed; report each with `mark_delivered`."""
        self._run_due()
        with self._transaction(write=False) as tx:
            due = events.due_deliveries(tx, limit=-1)
        return [self._signed(event) for event, _ in due]

    def mark_delivered(self, event_id: str, status: int) -> None:
        """Record the HTTP status of a delivery (0: no answer).

        2xx ends it; anything else is retried with growing delays for three days.

        Raises:
            KeyError: there is no such event.
        """
        with self._transaction(write=True) as tx:
            events.record_delivery(tx, event_id, status)

    def deliver_due(self) -> int:
        """Post the events that are due to `webhook_url`; return how many were accepted (2xx).

        A round ends at the first delivery without an answer, so that the retry delays of the others do not
        grow while a server is starting.
        """
        if self.webhook_url is None:
            return 0
        self._run_due()
        with self._shared_clock() as is_free, self._transaction(write=False) as tx:
            due = events.due_deliveries(tx, limit=_DELIVERIES_PER_ROUND) if is_free else []
        accepted = 0
        for event, next_at in due:
            event_id = event["id"]
            with self._transaction(write=True) as tx:
                if not events.claim_delivery(tx, event_id, next_at, lease_seconds=_DELIVERY_LEASE_SECONDS):
                    continue
            status = _post(urlsplit(self.webhook_url), self._signed(event))
            self.mark_delivered(event_id, status)
            logger.info("webhook %s %s → %s", event["type"], event_id, status or "no answer")
            accepted += 200 <= status < 300
            if status == 0:
                break
        return accepted

    def _signed(self, event: dict[str, object]) -> Delivery:
        return events.sign_event(event, secret=self.webhook_secret, timestamp=int(time.time()))

    # ── Internals ─────────────────────────────────────────────────────────────────────────────────────────

    def close(self) -> None:
        """Close the calling thread's connection to the state file; the next call opens another."""
        self._state.close()

    @contextlib.contextmanager
    def exclusive_clock(self) -> Iterator[None]:
        """Hold the clock: during the block no other stand-in on the file runs due tasks or delivers events.

        Requests are answered as usual.

        Raises:
            ClockInUse: another process holds the clock.
        """
        with exclusive_clock(self.state_path):
            self._holds_clock = True
            try:
                yield
            finally:
                self._holds_clock = False

    def _shared_clock(self) -> contextlib.AbstractContextManager[bool]:
        return contextlib.nullcontext(True) if self._holds_clock else shared_clock(self.state_path)

    def _run_due(self) -> dict[str, int]:
        """Run all due tasks; the write lock is taken only if there are any."""
        with self._transaction(write=False) as tx:
            if not scheduler.has_due_task(tx):
                return {}
        with self._shared_clock() as is_free, self._transaction(write=True) as tx:
            return scheduler.run_due(tx) if is_free else {}

    @contextlib.contextmanager
    def _transaction(
        self, *, write: bool, request_id: str | None = None, idempotency_key: str | None = None
    ) -> Iterator[Transaction]:
        with self._state.connection(write=write) as db:
            # The clock is read after the lock is taken, so that times are in the order of writes.
            yield Transaction(
                db,
                now=self.clock(),
                api_version=self.api_version,
                request_id=request_id,
                idempotency_key=idempotency_key,
            )


def _failure(error: Exception) -> ApiError:
    """Return the response to an internal error: what to do, without its details."""
    if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
        return ApiError(
            429,
            "The state file is in use by another request or process. Try again.",
            code="lock_timeout",
        )
    return ApiError(500, "An error occurred in the stand-in; see its log.", error_type="api_error")


def _form(request: Request) -> str:
    """Return the form-encoded body of a POST as text.

    Raises:
        ApiError: 400, the body has another content type or is not UTF-8.
    """
    if not request.body:
        return ""
    content_type = (request.header("Content-Type") or "").partition(";")[0].strip().lower()
    if content_type != "application/x-www-form-urlencoded":
        raise ApiError(
            400,
            "Invalid request: send parameters as application/x-www-form-urlencoded, as for Stripe's API v1.",
        )
    try:
        return request.body.decode("utf-8")
    except UnicodeDecodeError:
        raise ApiError(400, "Invalid request: the body is not form-encoded UTF-8.") from None


def _post(url: SplitResult, delivery: Delivery) -> int:
    """Post one delivery, without following redirects; return the HTTP status, or 0 without an answer."""
    connect = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = connect(url.hostname or "", url.port, timeout=DELIVERY_TIMEOUT_SECONDS)
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    try:
        connection.request("POST", path, delivery.body, delivery.headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
