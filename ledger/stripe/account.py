"""The account at Stripe that the books belong to, and Stripe's clock."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from ledger.models import StripeAccount


@dataclass(frozen=True)
class AccountAnswer:
    """What Stripe says about the account of an API key."""

    id: str
    live: bool
    stripe_now: datetime  # the Date header of the answer

    def __str__(self) -> str:
        return f"{self.id} ({'live' if self.live else 'test'} mode)"


def is_live_key(key: str) -> bool:
    """Return whether an API key belongs to live mode."""
    return key.startswith(("sk_live_", "rk_live_"))


def read_date(headers: Mapping[str, str]) -> datetime:
    """Return the Date header of an answer in UTC. Raises `ValueError` when it is missing or no date."""
    named = {name.lower(): value for name, value in headers.items()}
    try:
        instant = parsedate_to_datetime(named["date"])
    except (KeyError, ValueError):
        raise ValueError("Stripe's answer has no Date header that can be read") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def owner_of_books(answer: AccountAnswer, *, now: datetime) -> StripeAccount:
    """Return the account that the books belong to; at the first use of a key it is the answer's."""
    owner, _created = StripeAccount.objects.get_or_create(
        row=1, defaults={"account": answer.id, "live": answer.live, "first_used_at": now}
    )
    return owner


def known_account() -> str:
    """Return the id of the account that the books belong to; empty before the first use of a key."""
    return StripeAccount.objects.values_list("account", flat=True).first() or ""
