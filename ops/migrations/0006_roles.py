"""The roles of staff, as groups."""

from django.db import migrations

from ops.people.roles import create_roles


class Migration(migrations.Migration):

    dependencies = [
        ("ops", "0005_alerts"),
        ("ledger", "0032_own_permissions"),
        ("shop", "0011_tax_class"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("auditlog", "0017_add_actor_email"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(create_roles, migrations.RunPython.noop)]
