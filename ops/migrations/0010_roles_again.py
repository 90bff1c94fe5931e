"""The roles hold what the table says now."""

from django.db import migrations

from ops.people.roles import create_roles


class Migration(migrations.Migration):

    dependencies = [
        ("ops", "0009_sign_ins"),
    ]

    operations = [migrations.RunPython(create_roles, migrations.RunPython.noop)]
