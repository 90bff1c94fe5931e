"""The roles of staff, as groups."""

from django.contrib.auth.management import create_permissions
from django.db import migrations

from ops.people.roles import apply_roles

APPS = ("ledger", "shop", "ops", "auth", "auditlog")


def make_roles(apps, schema_editor):
    """Create the permissions, which Django does only after all migrations, and the groups that hold them."""
    using = schema_editor.connection.alias
    for label in APPS:
        config = apps.get_app_config(label)
        config.models_module = True  # else Django takes it for an app without models
        create_permissions(config, verbosity=0, using=using, apps=apps)
        config.models_module = None
    apply_roles(apps, using=using)


class Migration(migrations.Migration):

    dependencies = [
        ("ops", "0005_alerts"),
        ("ledger", "0032_own_permissions"),
        ("shop", "0011_tax_class"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("auditlog", "0017_add_actor_email"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(make_roles, migrations.RunPython.noop)]
