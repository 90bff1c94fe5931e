"""The tax status that tests start from: a registered corporation whose year ends in March."""

from datetime import UTC, date, datetime, time
from typing import Any

from ledger.books.tax_rules import ensure_tax_rates
from ledger.books.tax_status import enter_status
from ledger.models import TaxStatus

REGISTERED = {
    "from_day": date(2019, 10, 1),
    "entity": TaxStatus.Entity.CORPORATION,
    "fiscal_year_end": 3,
    "liability": TaxStatus.Liability.REGISTERED,
    "registration_number": "T7000012050002",
    "registered_on": date(2019, 10, 1),
    "accounting": TaxStatus.Accounting.NET,
    "filing": TaxStatus.Filing.GENERAL,
    "rounding": "down",
}
EXEMPT = {
    "liability": TaxStatus.Liability.EXEMPT,
    "registration_number": "",
    "registered_on": None,
    "accounting": TaxStatus.Accounting.GROSS,
}


def ensure_tax_status() -> None:
    """Create the rates and a status, unless there are any."""
    ensure_tax_rates()
    if not TaxStatus.objects.exists():
        enter()


def enter(**changes: Any) -> TaxStatus:
    """Enter the status of a registered corporation, with changes."""
    status = TaxStatus(**{**REGISTERED, **changes})
    at = datetime.combine(status.from_day, time(), tzinfo=UTC)
    return enter_status(status, actor="test", now=at)
