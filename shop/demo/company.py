"""The tax status of the demo's fictional company: a registered corporation whose year ends in March."""

from datetime import date, datetime

from ledger.books.tax_status import enter_status
from ledger.models import TaxStatus
from ledger.models.tax import FICTIONAL_NUMBER, TaxRounding

FROM_DAY = date(2023, 10, 1)  # the day on which qualified invoices began


def ensure_tax_status(*, now: datetime) -> bool:
    """Enter the status unless there is one; return whether it did."""
    if TaxStatus.objects.exists():
        return False
    status = TaxStatus(
        from_day=FROM_DAY,
        entity=TaxStatus.Entity.CORPORATION,
        fiscal_year_end=3,
        liability=TaxStatus.Liability.REGISTERED,
        registration_number=FICTIONAL_NUMBER,
        registered_on=FROM_DAY,
        accounting=TaxStatus.Accounting.NET,
        filing=TaxStatus.Filing.GENERAL,
        rounding=TaxRounding.DOWN,
    )
    enter_status(status, actor="demo", now=now)
    return True
