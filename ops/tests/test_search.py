"""The search box of the admin's menu finds orders, customers and products, for those who may see them."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from ledger.models import Order
from ledger.testing import build as ledger_build
from shop.testing import build

pytestmark = pytest.mark.django_db


@pytest.fixture
def order() -> Order:
    """Place an order of 髙木 誠, beside a product."""
    build.product("madoka", title="シーリングライト まどか")
    made = ledger_build.order()
    Order.objects.update(
        family_name="髙木", given_name="誠", phone="090-0000-6915", email="takagi@example.jp"
    )
    made.refresh_from_db()
    return made


def found(client: Client, text: str) -> str:
    """Return what the box shows."""
    return client.get("/admin/search/", {"s": text, "extended": "1"}).content.decode()


def test_one_box_finds_orders_customers_and_products(
    admin_client: Client, order: Order, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_max_num_queries(7):
        page = found(admin_client, order.number)
    assert f"/admin/ledger/order/{order.pk}/change/" in page
    for typed in ("09000006915", "高木", order.number.lower()):
        page = found(admin_client, typed)
        assert order.number in page
        assert "/admin/ledger/order/?q=takagi%40example.jp" in page
        assert "注文 1 件" in page
    page = found(admin_client, "ｼｰﾘﾝｸﾞ")
    assert "シーリングライト まどか" in page and "/admin/shop/product/" in page
    assert order.number not in found(admin_client, "山田太郎丸")


def test_what_was_just_placed_is_found_at_once(admin_client: Client, order: Order) -> None:
    assert "佐藤" not in found(admin_client, "佐藤")
    Order.objects.update(family_name="佐藤")
    assert order.number in found(admin_client, "佐藤")


def test_the_box_shows_nobody_what_they_may_not_see(client: Client, order: Order) -> None:
    user = User.objects.create_user("packer", is_staff=True)
    rights = ("view_product", "view_stockitem")  # the second is one of the orders' app
    user.user_permissions.add(*Permission.objects.filter(codename__in=rights))
    client.force_login(user)
    assert "takagi@example.jp" not in found(client, "高木")
    assert order.number not in found(client, order.number)
    assert "まどか" in found(client, "まどか")
