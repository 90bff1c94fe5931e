"""Which models of staff the audit log follows; the shop's own are in `shop.admin`.

A password is shown as changed and never as it is or was, nor as its hash.
"""

from allauth.mfa.models import Authenticator
from auditlog.registry import auditlog
from django.contrib.auth.models import Group, User

from ledger.models import Account, TaxStatus
from shop.models import ContactMessage, Picture, Specification


def hide(value: str) -> str:
    """Return what the log shows in place of a secret."""
    return "＊＊＊" if value else ""


def register() -> None:
    """Let the audit log follow accounts, rights and what staff edit besides the catalogue."""
    auditlog.register(
        User,
        exclude_fields=["last_login"],  # of each sign-in, which has a list of its own
        mask_fields=["password"],
        mask_callable=f"{__name__}.hide",
        m2m_fields={"groups", "user_permissions"},
    )
    auditlog.register(Authenticator, include_fields=["user", "type"])  # never `data`, which holds the secrets
    auditlog.register(Group, m2m_fields={"permissions"})
    auditlog.register(ContactMessage, include_fields=["answered_at"])  # the rest is the customer's
    for model in (Account, TaxStatus, Picture, Specification):
        auditlog.register(model)
