"""Tell Stripe's other balances from that of payments, and give each an account."""

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from ledger.books.accounts import ensure_chart


def add_accounts(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create the accounts that are missing."""
    ensure_chart(apps, using=schema_editor.connection.alias)


class Migration(migrations.Migration):
    dependencies = [("ledger", "0020_contact_messages")]

    operations = [
        migrations.AddField(
            model_name="balancetransaction",
            name="other_balance",
            field=models.CharField(blank=True, max_length=80, null=True, verbose_name="other balance"),
        ),
        migrations.RunPython(add_accounts, migrations.RunPython.noop),
    ]
