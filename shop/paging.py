"""Paging of the JSON catalogue: a limit, and a signed cursor that says after which product a page begins.

Only cursors that we gave out are valid, so there are no more pages than products times limits: strangers can
not fill the page store with others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from django.core.signing import BadSignature, Signer

LIMITS = (10, 20, 50, 100)  # products on a page
DEFAULT_LIMIT = 20
MAX_CURSOR_LENGTH = 200


class BadPaging(ValueError):
    """A parameter has a value that we never gave out. The text names it."""


@dataclass(frozen=True, slots=True)
class Paging:
    """Which products a page has: `limit` of them, after the one with this position and id."""

    limit: int = DEFAULT_LIMIT
    after: tuple[int, int] | None = None

    @classmethod
    def read(cls, data: Mapping[str, str]) -> "Paging":
        """Return the paging of query parameters; others are ignored. Raises `BadPaging`."""
        limit, cursor = data.get("limit", str(DEFAULT_LIMIT)), data.get("cursor", "")
        if limit not in map(str, LIMITS):
            raise BadPaging(f"limit must be one of {', '.join(map(str, LIMITS))}")
        return cls(int(limit), read_cursor(cursor) if "cursor" in data else None)

    def parameters(self) -> str:
        """Return the query string, in one form; empty for the first page of the usual size."""
        known: dict[str, object] = {}
        if self.after:
            known["cursor"] = make_cursor(*self.after)
        if self.limit != DEFAULT_LIMIT:
            known["limit"] = self.limit
        return urlencode(known)


def make_cursor(position: int, pk: int) -> str:
    """Return the cursor that stands after a product."""
    return Signer(salt="shop.paging").sign_object([position, pk])


def read_cursor(cursor: str) -> tuple[int, int]:
    """Return position and id of a cursor's product. Raises `BadPaging`."""
    try:
        if len(cursor) > MAX_CURSOR_LENGTH:
            raise BadSignature
        position, pk = Signer(salt="shop.paging").unsign_object(cursor)
    except BadSignature:
        raise BadPaging("cursor must be one from the address next of an earlier page") from None
    return position, pk
