"""Constraints that a form validates are evaluated without a request where they need no table."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Exists, F, Q
from django.db.models.functions import Length, Upper
from django.test.utils import register_lookup

from ..base import DatabaseWrapper


class Parcel(models.Model):
    """A model with constraints of every kind."""

    code = models.CharField(max_length=40)
    weight = models.FloatField()
    limit = models.FloatField(null=True)
    note = models.TextField(default="")

    class Meta:
        app_label = "d1_checks"
        managed = False
        db_table = "parcel"
        constraints = [
            models.CheckConstraint(condition=Q(weight__gt=0) & Q(code__in=["A", "灯"]), name="known"),
            models.CheckConstraint(condition=Q(weight__lte=F("limit")), name="light_enough"),
            models.CheckConstraint(condition=Q(note__length__lte=30_000), name="short"),
        ]


@pytest.fixture
def parcels(d1: DatabaseWrapper) -> Iterator[DatabaseWrapper]:
    with register_lookup(models.TextField, Length):
        with d1.schema_editor() as editor:
            editor.create_model(Parcel)
        yield d1


def count_requests(connection: DatabaseWrapper, parcel: Parcel) -> int:
    before: int = connection.connection.transport.round_trips
    for constraint in Parcel._meta.constraints:
        constraint.validate(Parcel, parcel, using="d1")
    return int(connection.connection.transport.round_trips) - before


@pytest.mark.parametrize(
    "values",
    [
        {"code": "A", "weight": 0.1},
        {"code": "灯", "weight": 1e23, "limit": 1e23},
        {"code": "A", "weight": 2.0, "limit": 3.0, "note": "長い\0" * 9_000},
    ],
)
def test_valid_values_pass_without_a_request(parcels: DatabaseWrapper, values: dict[str, Any]) -> None:
    assert count_requests(parcels, Parcel(**values)) == 0


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"code": "A", "weight": 0.0}, "known"),
        ({"code": "B", "weight": 1.0}, "known"),
        ({"code": "A", "weight": 1.1, "limit": 1.0}, "light_enough"),
        ({"code": "A", "weight": 1.0, "note": "x" * 30_001}, "short"),
    ],
)
def test_invalid_values_are_refused(parcels: DatabaseWrapper, values: dict[str, Any], name: str) -> None:
    with pytest.raises(ValidationError, match=name):
        count_requests(parcels, Parcel(**values))


def test_a_check_with_a_table_runs_on_d1(parcels: DatabaseWrapper) -> None:
    heavy = Exists(
        Parcel._default_manager.using("d1").filter(weight__gt=100).annotate(u=Upper("code")).filter(u="灯")
    )
    check = Q(heavy)
    assert not check.check({}, using="d1")
    Parcel._default_manager.using("d1").create(code="灯", weight=101.0)
    assert check.check({}, using="d1")
