"""`expand[]`: ids in an answer are replaced by their objects, as deep as Stripe does."""

from collections.abc import Sequence
from typing import Any

from kikaku.sandbox.balance import render_balance_transaction
from kikaku.sandbox.checkout import session_lines
from kikaku.sandbox.errors import ApiError
from kikaku.sandbox.state import Condition, Json, Transaction

MAX_EXPAND_DEPTH = 4  # https://docs.stripe.com/expand

# Property → kinds of object that it may hold; an empty tuple: expandable at Stripe, always null here.
_EXPANDABLE: dict[str, dict[str, tuple[str, ...]]] = {
    "checkout.session": {
        "customer": (), "invoice": (), "line_items": (), "payment_intent": ("payment_intent",),
        "payment_link": (), "setup_intent": (), "subscription": (),
    },
    "item": {},
    "price": {"product": ("product",)},
    "product": {"default_price": (), "tax_code": ()},
    "payment_intent": {
        "application": (), "customer": (), "latest_charge": ("charge",), "on_behalf_of": (),
        "payment_method": ("payment_method",), "review": (),
    },
    "payment_method": {"customer": ()},
    "charge": {
        "application": (), "application_fee": (), "balance_transaction": ("balance_transaction",),
        "customer": (), "failure_balance_transaction": ("balance_transaction",), "on_behalf_of": (),
        "payment_intent": ("payment_intent",), "refunds": (), "review": (), "source_transfer": (),
        "transfer": (),
    },
    "refund": {
        "balance_transaction": ("balance_transaction",), "charge": ("charge",), "customer": (),
        "failure_balance_transaction": ("balance_transaction",), "payment_intent": ("payment_intent",),
        "source_transfer_reversal": (), "transfer_reversal": (),
    },
    "balance_transaction": {"source": ("charge", "refund")},
}  # fmt: skip


def list_object(url: str, data: list[Json], *, has_more: bool) -> Json:
    """Return Stripe's envelope of a list."""
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def expand(tx: Transaction, answer: Json, paths: Sequence[str]) -> Json:
    """Return the answer with every path of `expand[]` resolved.

    Raises:
        ApiError: 400, a path is too deep or names no expandable property.
    """
    for path in paths:
        names = path.split(".")
        if len(names) > MAX_EXPAND_DEPTH:
            raise ApiError(
                400, f"You cannot expand more than {MAX_EXPAND_DEPTH} levels of a property: {path[:80]}"
            )
        answer = _expand_one(tx, answer, names, path)
    return answer


def _expand_one(tx: Transaction, subject: Json, names: Sequence[str], path: str) -> Json:
    name, below = names[0], names[1:]
    kind = str(subject.get("object"))
    if kind == "list":
        if name != "data":
            raise _not_expandable(path, hint=f" You may want to try expanding 'data.{path}' instead.")
        if not below:
            raise _not_expandable(path)
        return {**subject, "data": [_expand_one(tx, member, below, path) for member in subject["data"]]}
    expandable = _EXPANDABLE.get(kind, {})
    value = subject.get(name)
    if name in expandable:
        value = _resolved(tx, subject, name, value, expandable[name])
    elif not (isinstance(value, dict) and below):
        raise _not_expandable(path)
    if below and isinstance(value, dict):
        value = _expand_one(tx, value, below, path)
    return {**subject, name: value} if value is not None or name in subject else subject


def _resolved(tx: Transaction, subject: Json, name: str, value: Any, kinds: tuple[str, ...]) -> Any:
    if name == "line_items":
        return value or list_object(
            f"/v1/checkout/sessions/{subject['id']}/line_items",
            session_lines(tx, subject["id"]),
            has_more=False,
        )
    if name == "refunds":
        page = tx.page("refund", [Condition("charge", [subject["id"]])], limit=10)
        return value or list_object(f"/v1/charges/{subject['id']}/refunds", page.data, has_more=page.has_more)
    if not isinstance(value, str):
        return value
    for kind in kinds:
        found = tx.get(kind, value)
        if found is not None:
            return render_balance_transaction(tx, found) if kind == "balance_transaction" else found
    return value


def _not_expandable(path: str, *, hint: str = "") -> ApiError:
    return ApiError(400, f"This property cannot be expanded ({path[:80]}).{hint}", param="expand")
