"""Keep the sum of times in microseconds: in whole milliseconds most requests added nothing."""

from typing import Any

from django.db import migrations
from django.db.models import F


def to_microseconds(apps: Any, schema_editor: Any) -> None:
    """Multiply the sums that were kept in milliseconds."""
    apps.get_model("ops", "RequestFigures").objects.update(total_us=F("total_us") * 1_000)


def to_milliseconds(apps: Any, schema_editor: Any) -> None:
    """Divide the sums again."""
    apps.get_model("ops", "RequestFigures").objects.update(total_us=F("total_us") / 1_000)


class Migration(migrations.Migration):

    dependencies = [
        ("ops", "0012_encrypted_second_factors"),
    ]

    operations = [
        migrations.RenameField("requestfigures", "total_ms", "total_us"),
        migrations.RunPython(to_microseconds, to_milliseconds),
    ]
