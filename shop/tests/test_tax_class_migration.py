"""Goods of the shop before tax classes migrate, forth and back."""

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from ledger.models import StockItem
from shop.models import Variant
from shop.pages.version import broken_triggers

pytestmark = pytest.mark.django_db(transaction=True)
BEFORE = [("shop", "0010_synonyms_once")]


def test_goods_at_8_percent_are_of_the_reduced_class_and_the_triggers_are_back() -> None:
    executor = MigrationExecutor(connection)
    leaves = executor.loader.graph.leaf_nodes()
    try:
        executor.migrate(BEFORE)
        old = MigrationExecutor(connection).loader.project_state(BEFORE).apps
        category = old.get_model("shop", "Category").objects.create(slug="food", name_ja="食品", position=1)
        product = old.get_model("shop", "Product").objects.create(
            slug="water", title_ja="水", status="active", category=category
        )
        stock = [StockItem.objects.create(sku=sku).pk for sku in ("WATER", "LAMP")]
        for sku, rate, stock_id in zip(("WATER", "LAMP"), (8, 10), stock, strict=True):
            old.get_model("shop", "Variant").objects.create(
                product=product, sku=sku, price=100, tax_rate=rate, stock_id=stock_id
            )
    finally:
        MigrationExecutor(connection).migrate(leaves)
    assert dict(Variant.objects.values_list("sku", "tax_class")) == {"WATER": "reduced", "LAMP": "standard"}
    assert broken_triggers(connection) == {}

    MigrationExecutor(connection).migrate(BEFORE)
    try:
        old = MigrationExecutor(connection).loader.project_state(BEFORE).apps
        rates = dict(old.get_model("shop", "Variant").objects.values_list("sku", "tax_rate"))
        assert rates == {"WATER": 8, "LAMP": 10}
    finally:
        MigrationExecutor(connection).migrate(leaves)
