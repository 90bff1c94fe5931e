"""Secrets of apps and recovery codes are encrypted."""

from collections.abc import Callable
from typing import Any

from django.db import migrations

from ops.people.second_factor import decrypt, encrypt


def _change(apps: Any, change: Callable[[str], str]) -> None:
    Authenticator = apps.get_model("mfa", "Authenticator")
    rows = list(Authenticator.objects.filter(type__in=["totp", "recovery_codes"]))
    for row in rows:
        for name in {"secret", "seed"} & row.data.keys():
            row.data[name] = change(row.data[name])
    Authenticator.objects.bulk_update(rows, ["data"], batch_size=20)


def encrypt_rows(apps: Any, schema_editor: Any) -> None:
    _change(apps, encrypt)


def decrypt_rows(apps: Any, schema_editor: Any) -> None:
    _change(apps, decrypt)


class Migration(migrations.Migration):

    dependencies = [
        ("ops", "0011_backup_job"),
        ("mfa", "0003_authenticator_type_uniq"),
    ]

    operations = [migrations.RunPython(encrypt_rows, decrypt_rows)]
