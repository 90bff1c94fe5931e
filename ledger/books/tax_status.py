"""Enter the merchant's tax status. Entries follow the status of their day, so no day that has any changes."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from kikaku.transactions import unit_of_work
from ledger.books.tax_rules import load_tax_rules
from ledger.models import JournalEntry, TaxStatus


def check_status(status: TaxStatus) -> None:
    """Raise ValidationError for a status that contradicts itself, the law, or entries that are posted.

    What entries do not depend on, such as the registration number, may be corrected for days with entries.
    """
    status.full_clean(exclude=["created_at"])
    rules = load_tax_rules()
    if not rules.statuses:
        return  # entries that are older than the first status have form 1
    later = any(other.from_day > status.from_day for other in rules.statuses)
    if later:
        raise ValidationError(
            {"from_day": _("A status with a later day is entered already. Enter this one from a later day.")}
        )
    if rules.status_on(status.from_day).posting_rules == status.posting_rules:
        return
    last = JournalEntry.objects.filter(day__gte=status.from_day).order_by("-day").first()
    if last is not None:
        raise ValidationError(
            {
                "from_day": _("Entries are posted up to %(day)s. Enter this status from a later day.")
                % {"day": last.day}
            }
        )


@unit_of_work
def enter_status(status: TaxStatus, *, actor: str, now: datetime) -> TaxStatus:
    """Store a new status and return it. Raises ValidationError; then nothing changed."""
    status.created_at = now
    status.actor = actor
    check_status(status)
    status.save(force_insert=True)
    return status
