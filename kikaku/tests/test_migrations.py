"""Migrations: every change of a model has one."""

import pytest
from django.core.management import call_command


@pytest.mark.django_db
@pytest.mark.engine_independent
def test_no_change_of_a_model_lacks_its_migration() -> None:
    call_command("makemigrations", "--check", "--dry-run")  # exits with 1 when one is missing
