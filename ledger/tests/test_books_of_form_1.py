"""Books that were written before the tax status and the tax of lines: they migrate, hold, and go on.

`books_of_form_1.json` has the rows and the evidence of two closed days and an open one, as the version before
wrote them: the worked order shipped and partly refunded, an order of three of which one was shipped and ¥700
refunded, a cancelled order, a JCB payment. Events and personal data are shortened.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management.color import no_style
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from kikaku.sandbox import Sandbox
from ledger.books.accounts import CHART, OUTPUT_TAX_ACCOUNTS, PREPAYMENTS
from ledger.books.trial_balance import net_balance
from ledger.closing import verification
from ledger.models import Account, JournalEntry, Order, RefundLine
from ledger.testing import build
from ledger.testing.closing import TUESDAY, night_after
from ledger.testing.company import ensure_tax_status

# on PostgreSQL and D1 at night: there the migrations take a minute
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.engine_independent]
CHANGED_BY_STAFF = {
    "4110": {"name_en": "Turnover"},
    "4120": {"name_ja": "送料"},
    "4910": {"tax_class": "不課税"},
    "6111": {"tax_class": "課税仕入込10%"},
}
BEFORE = [("ledger", "0028_remote_area_once"), ("shop", "0010_synonyms_once")]


def migrate(target: list[tuple[str, str]]) -> Any:
    """Migrate the database, and return the models of that state."""
    MigrationExecutor(connection).migrate(target)
    return MigrationExecutor(connection).loader.project_state(target).apps


@pytest.fixture
def old_books(sandbox: Sandbox) -> Iterator[None]:
    """Write the old rows into the old tables, and their evidence; migrate."""
    leaves = MigrationExecutor(connection).loader.graph.leaf_nodes()
    written = json.loads((Path(__file__).parent / "books_of_form_1.json").read_text())
    for path, content in written["files"].items():
        storages["evidence"].save(path, ContentFile(content.encode()))
    try:
        old = migrate(BEFORE)
        models = [old.get_model("ledger", name) for name in written["rows"]]
        old.get_model("ledger", "Account")._default_manager.all().delete()
        for model in models:
            fields = {field.attname: field for field in model._meta.concrete_fields}
            model._default_manager.bulk_create(
                model(**{name: fields[name].to_python(value) for name, value in row.items()})
                for row in written["rows"][model.__name__]
            )
        for code, changes in CHANGED_BY_STAFF.items():
            old.get_model("ledger", "Account")._default_manager.filter(code=code).update(**changes)
        with connection.cursor() as cursor:
            for statement in connection.ops.sequence_reset_sql(no_style(), models):
                cursor.execute(statement)
    finally:
        migrate(leaves)
    ensure_tax_status()
    yield


def findings() -> list[str]:
    return [str(finding) for finding in verification.verify()]


def test_old_books_hold_after_the_migration_and_go_on(old_books: None) -> None:
    assert findings() == []
    assert set(JournalEntry.objects.values_list("form", "amount", "lines__tax_class")) == {(None, None, None)}
    columns = ("name_ja", "name_en", "tax_class")
    chart = {account.code: {name: getattr(account, name) for name in columns} for account in CHART}
    assert {row.pop("code"): row for row in Account.objects.values("code", *columns)} == {
        code: {**account, **CHANGED_BY_STAFF.get(code, {})} for code, account in chart.items()
    }

    # the pieces that were returned are told from those that were cancelled
    returned = RefundLine.objects.filter(returned__gt=0).values_list(
        "order_line__sku", "quantity", "returned"
    )
    assert list(returned) == [("WATER-2L", 1, 1)]

    # two of three pieces are left: what is shipped now adds up with what was shipped then
    part = Order.objects.get(status="partially_shipped")
    build.ship(part, now=night_after(TUESDAY))
    assert net_balance(PREPAYMENTS, order=part) == 0
    entry = JournalEntry.objects.latest("pk")
    assert (entry.form, entry.counterparty, entry.voucher) == (2, part.name, f"2026-{entry.pk}")
    assert findings() == []

    # the rest of a sale of then is refunded: its tax is reversed to the yen
    sold = Order.objects.filter(status="shipped", tax_reduced__gt=0).earliest("pk")
    build.refund(sold, now=night_after(TUESDAY))
    assert [net_balance(account, order=sold) for account in OUTPUT_TAX_ACCOUNTS.values()] == [0, 0]
    assert findings() == []
