"""Tests that commit leave the database as the migrations left it."""

import pytest
from django.contrib.auth.models import Permission, User

from kikaku.testing import flush
from ledger.models import Account, StockItem
from ledger.testing import build

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_was_committed_is_gone_and_what_migrations_wrote_stays() -> None:
    baseline = flush.read_baseline()
    permissions = set(Permission.objects.values_list("pk", flat=True))
    order = build.order()
    User.objects.create_user("sato")
    assert flush.restore(baseline)
    assert not type(order).objects.exists() and not StockItem.objects.exists() and not User.objects.exists()
    assert set(Permission.objects.values_list("pk", flat=True)) == permissions != set()
    assert flush.read_baseline() == baseline


def test_a_changed_chart_of_accounts_is_undone() -> None:
    baseline = flush.read_baseline()
    Account.objects.filter(code="1150").update(name_ja="別名")
    assert flush.restore(baseline)
    assert flush.read_baseline() == baseline


def test_a_missing_permission_is_noticed() -> None:
    baseline = flush.read_baseline()
    Permission.objects.latest("pk").delete()
    assert not flush.restore(baseline)


@pytest.mark.parametrize("_once_more", range(2))
def test_a_test_does_not_see_what_another_has_changed(_once_more: int) -> None:
    assert Account.objects.get(code="1150").name_ja == "未収入金（Stripe残高）"
    Account.objects.filter(code="1150").update(name_ja="別名")
