"""The endpoints of the API, with idempotency keys and lists."""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kikaku.sandbox.balance import render_balance, render_balance_transaction
from kikaku.sandbox.checkout import create_session, expire_session, session_lines
from kikaku.sandbox.errors import ApiError, missing_object, unknown_route
from kikaku.sandbox.events import EVENT_RETENTION_SECONDS, listed_events_condition, render_event
from kikaku.sandbox.expansion import expand, list_object
from kikaku.sandbox.http import json_bytes
from kikaku.sandbox.params import Params, decode_form
from kikaku.sandbox.refunds import cancel_refund, create_refund, expire_refund
from kikaku.sandbox.state import Condition, Json, Transaction

IDEMPOTENCY_KEY_SECONDS = 24 * 3600  # https://docs.stripe.com/api/idempotent_requests
MAX_KEY_LENGTH = 255
MAX_PAGE_SIZE = 100


@dataclass(frozen=True)
class Settings:
    """Settings of the stand-in that endpoints need."""

    base_url: str
    return_origins: tuple[str, ...]
    book_refunds_at_once: bool


@dataclass(frozen=True)
class Answer:
    """The response of one API call."""

    status: int
    body: bytes
    replay_of: str | None = None  # the request id of the first answer, if this one repeats it


Endpoint = Callable[[Transaction, Params, Settings, str], Json]


def _session_create(tx: Transaction, params: Params, settings: Settings, _: str) -> Json:
    return create_session(tx, params, base_url=settings.base_url, return_origins=settings.return_origins)


def _session_expire(tx: Transaction, params: Params, settings: Settings, session_id: str) -> Json:
    params.refuse_unknown()
    return expire_session(tx, _found(tx, "checkout.session", session_id))


def _session_lines(tx: Transaction, params: Params, settings: Settings, session_id: str) -> Json:
    limit = _limit(params)
    after = params.text("starting_after")
    before = params.text("ending_before")
    params.refuse_unknown()
    _found(tx, "checkout.session", session_id)
    lines = session_lines(tx, session_id)
    places = {line["id"]: place for place, line in enumerate(lines)}
    for name, cursor in (("starting_after", after), ("ending_before", before)):
        if cursor is not None and cursor not in places:
            raise missing_object("line item", cursor, param=name, status=400)
    url = f"/v1/checkout/sessions/{session_id}/line_items"
    if before is not None:
        rest = lines[: places[before]]
        return list_object(url, rest[-limit:], has_more=len(rest) > limit)
    rest = lines[places[after] + 1 :] if after is not None else lines
    return list_object(url, rest[:limit], has_more=len(rest) > limit)


def _session_list(tx: Transaction, params: Params, settings: Settings, _: str) -> Json:
    conditions = _of_existing(tx, params, "payment_intent")
    status = params.choice("status", ("complete", "expired", "open"))
    if status is not None:
        conditions.append(Condition("status", [status]))
    email = params.group("customer_details").text("email")
    if email is not None:
        conditions.append(Condition("email", [email]))
    return _list(tx, params, "checkout.session", "/v1/checkout/sessions", conditions)


def _intent_list(tx: Transaction, params: Params, settings: Settings, _: str) -> Json:
    return _list(tx, params, "payment_intent", "/v1/payment_intents", [])


def _charge_list(tx: Transaction, params: Params, settings: Settings, _: str) -> Json:
    return _list(tx, params, "charge", "/v1/charges", _of_existing(tx, params, "payment_intent"))


def _refund_create(tx: Transaction, params: Params, settings: Settings, _: str) -> Json:
    return create_refund(tx, params, book_at_once=settings.book_refunds_at_once)


def _refund_cancel(tx: Transaction, params: Params, settings: Settings, refund_id: str) -> Json:
    params.refuse_unknown()
    return cancel_refund(tx, _found(tx, "refund", refund_id))


def _refund_expire(tx: Transaction, params: Params, settings: Settings, refund_id: str) -> Json:
    params.refuse_unknown()
    return expire_refund(tx, _found(tx, "refund", refund_id))


def _refund_list(tx: Transaction, params: Params, settings: Settings, _: str) -> Json:
    conditions = _of_existing(tx, params, "charge", "payment_intent")
    return _list(tx, params, "refund", "/v1/refunds", conditions)


def _balance(tx: Transaction, params: Params, settings: Settings, _: str) -> Json:
    params.refuse_unknown()
    return render_balance(tx)


def _balance_transaction_list(tx: Transaction, params: Params, settings: Settings, _: str) -> Json:
    conditions = _equal(params, "source", "type", "currency")
    payout = params.text("payout")
    if payout is not None:
        raise missing_object("payout", payout, param="payout", status=400)
    listed = _list(tx, params, "balance_transaction", "/v1/balance_transactions", conditions)
    return {**listed, "data": [render_balance_transaction(tx, entry) for entry in listed["data"]]}


def _event_list(tx: Transaction, params: Params, settings: Settings, _: str) -> Json:
    wanted = params.texts("types")
    single = params.text("type")
    if single is not None and wanted:
        raise ApiError(400, "You may only specify one of these parameters: type, types.")
    if len(wanted) > 20:
        raise ApiError(400, "You can filter by up to 20 event types.", param="types")
    conditions = [listed_events_condition(tx)]
    if single is not None and single.endswith(".*"):
        known = tx.db.execute(
            "SELECT DISTINCT json_extract(body, '$.type') FROM objects WHERE kind = 'event'"
        ).fetchall()
        wanted = [name for (name,) in known if name.startswith(single[:-1])] or [single]
    elif single is not None:
        wanted = [single]
    if wanted:
        conditions.append(Condition("type", wanted))
    listed = _list(tx, params, "event", "/v1/events", conditions)
    return {**listed, "data": [render_event(tx, event) for event in listed["data"]]}


def _account(tx: Transaction, params: Params, settings: Settings, _: str) -> Json:
    params.refuse_unknown()
    return {
        "id": "acct_1" + tx.secret("account")[:15],
        "object": "account",
        "charges_enabled": True,
        "country": "JP",
        "default_currency": "jpy",
        "details_submitted": True,
        "email": None,
        "payouts_enabled": True,
        "type": "standard",
    }


def _retrieve(kind: str) -> Endpoint:
    def endpoint(tx: Transaction, params: Params, settings: Settings, object_id: str) -> Json:
        params.refuse_unknown()
        found = _found(tx, kind, object_id)
        if kind == "balance_transaction":
            return render_balance_transaction(tx, found)
        if kind == "event":
            if found["created"] < tx.second - EVENT_RETENTION_SECONDS:
                raise missing_object("event", object_id)
            return render_event(tx, found)
        return found

    return endpoint


_ID = r"([A-Za-z0-9_]{1,255})"
_ROUTES: tuple[tuple[str, re.Pattern[str], Endpoint], ...] = tuple(
    (method, re.compile(pattern + r"\Z"), endpoint)
    for method, pattern, endpoint in (
        ("POST", "/v1/checkout/sessions", _session_create),
        ("GET", "/v1/checkout/sessions", _session_list),
        ("GET", f"/v1/checkout/sessions/{_ID}", _retrieve("checkout.session")),
        ("GET", f"/v1/checkout/sessions/{_ID}/line_items", _session_lines),
        ("POST", f"/v1/checkout/sessions/{_ID}/expire", _session_expire),
        ("GET", "/v1/payment_intents", _intent_list),
        ("GET", f"/v1/payment_intents/{_ID}", _retrieve("payment_intent")),
        ("GET", "/v1/charges", _charge_list),
        ("GET", f"/v1/charges/{_ID}", _retrieve("charge")),
        ("POST", "/v1/refunds", _refund_create),
        ("GET", "/v1/refunds", _refund_list),
        ("GET", f"/v1/refunds/{_ID}", _retrieve("refund")),
        ("POST", f"/v1/refunds/{_ID}/cancel", _refund_cancel),
        ("POST", f"/v1/test_helpers/refunds/{_ID}/expire", _refund_expire),
        ("GET", "/v1/balance", _balance),
        ("GET", "/v1/balance_transactions", _balance_transaction_list),
        ("GET", f"/v1/balance_transactions/{_ID}", _retrieve("balance_transaction")),
        ("GET", "/v1/events", _event_list),
        ("GET", f"/v1/events/{_ID}", _retrieve("event")),
        ("GET", "/v1/account", _account),
    )
)


def find_endpoint(method: str, path: str) -> tuple[Endpoint, str]:
    """Return the endpoint of a path and the id in the path ("" if it has none).

    Raises:
        ApiError: 404, no endpoint has this path and method.
    """
    for known_method, pattern, endpoint in _ROUTES:
        matched = pattern.match(path)
        if matched and method == known_method:
            return endpoint, matched[1] if pattern.groups else ""
    raise unknown_route(method, path[:200])


def call(
    tx: Transaction, method: str, path: str, encoded: str, *, settings: Settings, idempotency_key: str | None
) -> Answer:
    """Answer one authenticated API call within the caller's transaction.

    With an idempotency key (POST only) the first answer is stored and repeated for a day. Nothing is stored
    of a call that is refused before its endpoint begins; of a later refusal only the answer is. Two
    concurrent calls with one key queue for the write lock, so that the second gets the answer of the first.
    """
    try:
        endpoint, object_id = find_endpoint(method, path)
        values = decode_form(encoded)
        if idempotency_key is not None:
            fingerprint = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
            known = _stored_answer(tx, idempotency_key, f"{method} {path}", fingerprint)
            if known is not None:
                return known
    except ApiError as refusal:
        return Answer(refusal.status, json_bytes(refusal.body()))

    tx.db.execute("SAVEPOINT endpoint")
    try:
        params = Params(values)
        paths = params.texts("expand")
        result = expand(tx, endpoint(tx, params, settings, object_id), paths)
        answer, executed = Answer(200, json_bytes(result)), True
    except ApiError as refusal:
        tx.db.execute("ROLLBACK TO endpoint")
        answer, executed = Answer(refusal.status, json_bytes(refusal.body())), refusal.executed
    tx.db.execute("RELEASE endpoint")
    if idempotency_key is not None and executed:
        tx.db.execute(
            "INSERT INTO idempotency (key, fingerprint, route, status, body, request_id, stored_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                idempotency_key,
                fingerprint,
                f"{method} {path}",
                answer.status,
                answer.body,
                tx.request_id,
                tx.now,
            ),
        )
    return answer


def _stored_answer(tx: Transaction, key: str, route: str, fingerprint: str) -> Answer | None:
    if len(key) > MAX_KEY_LENGTH:
        raise ApiError(400, f"Idempotency keys can be up to {MAX_KEY_LENGTH} characters.")
    tx.db.execute("DELETE FROM idempotency WHERE stored_at < ?", (tx.now - IDEMPOTENCY_KEY_SECONDS,))
    row = tx.db.execute(
        "SELECT fingerprint, route, status, body, request_id FROM idempotency WHERE key = ?", (key,)
    ).fetchone()
    if row is None:
        return None
    if row[0] != fingerprint or row[1] != route:
        what = "parameters" if row[1] == route else "endpoint"
        raise ApiError(
            400,
            f"Keys for idempotent requests can only be used with the same {what} they were first used with."
            f" Try using a key other than '{key}' if you meant to execute a different request.",
            error_type="idempotency_error",
        )
    return Answer(row[2], bytes(row[3]), replay_of=row[4])


def _found(tx: Transaction, kind: str, object_id: str) -> Json:
    found = tx.get(kind, object_id)
    if found is None:
        raise missing_object(kind, object_id)
    return found


def _limit(params: Params) -> int:
    return params.integer("limit", minimum=1, maximum=MAX_PAGE_SIZE) or 10


def _equal(params: Params, *names: str) -> list[Condition]:
    values = ((name, params.text(name)) for name in names)
    return [Condition(name, [value]) for name, value in values if value is not None]


def _of_existing(tx: Transaction, params: Params, *kinds: str) -> list[Condition]:
    """Return the conditions of parameters that name objects.

    Raises:
        ApiError: 400 `resource_missing`, one of the objects does not exist.
    """
    conditions = _equal(params, *kinds)
    for condition in conditions:
        object_id = str(condition.values[0])
        if tx.get(condition.column, object_id) is None:
            raise missing_object(condition.column, object_id, param=condition.column, status=400)
    return conditions


def _created(params: Params) -> list[Condition]:
    if not params.has("created"):
        return []
    try:
        exact = params.integer("created")
    except ApiError:
        bounds = params.group("created")
        operators = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
        read = ((operator, bounds.integer(name)) for name, operator in operators.items())
        return [Condition("created", [value], operator) for operator, value in read if value is not None]
    return [] if exact is None else [Condition("created", [exact])]


def _list(tx: Transaction, params: Params, kind: str, url: str, conditions: Sequence[Condition]) -> Json:
    """Return one page of a list: newest first, `limit` 1 to 100 (default 10), with ids as cursors."""
    limit = _limit(params)
    after, before = params.text("starting_after"), params.text("ending_before")
    restrictions = [*conditions, *_created(params)]
    params.refuse_unknown()
    if after is not None and before is not None:
        raise ApiError(400, "You may only specify one of these parameters: starting_after, ending_before.")
    for name, cursor in (("starting_after", after), ("ending_before", before)):
        if cursor is not None and tx.get(kind, cursor) is None:
            raise missing_object(kind, cursor, param=name, status=400)
    page = tx.page(kind, restrictions, limit=limit, starting_after=after, ending_before=before)
    return list_object(url, page.data, has_more=page.has_more)
