"""The audit log becomes append-only."""

from django.db import migrations

from ops.people import triggers


def forwards(apps, schema_editor):
    triggers.install(schema_editor)


def backwards(apps, schema_editor):
    triggers.remove(schema_editor)


class Migration(migrations.Migration):

    dependencies = [
        ("ops", "0006_roles"),
        ("auditlog", "0017_add_actor_email"),
        ("ledger", "0003_append_only"),
    ]

    operations = [migrations.RunPython(forwards, backwards)]
