from django.apps import AppConfig
from django.core import checks
from django.utils.translation import gettext_lazy as _


class LedgerConfig(AppConfig):
    name = "ledger"
    verbose_name = _("Ledger")

    def ready(self) -> None:
        """Register the check of the tax status."""
        from ledger.books.tax_status import check_entered

        checks.register(check_entered, checks.Tags.database)
