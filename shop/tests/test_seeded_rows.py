"""Rows that migrations wrote are there for the next test, whatever a test that commits did to them."""

import pytest
from django.contrib.auth.models import Permission
from django.core.management.color import no_style
from django.db import connection

from kikaku.testing import flush
from ledger.models import Carrier, DeliveryTime
from shop.models import SearchSynonym


@pytest.mark.django_db(transaction=True)
def test_what_a_test_changed_in_the_rows_of_migrations_is_undone() -> None:
    seeded = (SearchSynonym, Carrier, DeliveryTime)
    before = [list(model.objects.order_by("pk").values()) for model in seeded]
    assert all(before)
    baseline = flush.read_baseline()
    SearchSynonym.objects.create(words="行灯 あんどん")
    Carrier.objects.order_by("pk")[0].delete()
    DeliveryTime.objects.update(days=9)
    assert flush.restore(baseline)
    assert [list(model.objects.order_by("pk").values()) for model in seeded] == before


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("_once_more", range(2))
def test_rows_of_migrations_are_there_after_a_flush_of_everything(_once_more: int) -> None:
    assert all(model.objects.exists() for model in (SearchSynonym, Carrier, DeliveryTime))
    Permission.objects.latest("pk").delete()  # only the usual flush mends that


@pytest.mark.django_db(transaction=True)
def test_rows_of_migrations_keep_their_ids_from_later_rows_though_a_test_counted_anew() -> None:
    baseline = flush.read_baseline()
    tables = [SearchSynonym._meta.db_table]
    connection.ops.execute_sql_flush(connection.ops.sql_flush(no_style(), tables, reset_sequences=True))
    assert flush.restore(baseline)
    SearchSynonym.objects.create(words="行灯 あんどん")  # would have the id of an older row
