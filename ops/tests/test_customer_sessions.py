"""Whoever planted a session in a customer's browser learns neither address nor order from it."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import CreateError
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from kikaku.sandbox import Sandbox
from ledger.models import Order
from ops.jobs import schedule
from shop.sessions import SessionStore
from shop.testing import build
from shop.testing.checkout import confirmation, place

pytestmark = pytest.mark.django_db(transaction=True)  # the call to Stripe comes after the commit


@pytest.fixture
def shop() -> None:
    build.product()
    build.content_page()
    build.content_page("returns", "返品・交換について")


def key_of(client: Client) -> str:
    return client.cookies["sessionid"].value


def browser_with(key: str) -> Client:
    """Return a browser with a lamp in the cart and this session."""
    client = Client()
    build.fill_cart(client, ("SKU-madoka", 1))
    client.cookies["sessionid"] = key
    return client


def test_the_planter_of_a_session_cannot_read_the_address_that_is_typed_in_it(shop: None) -> None:
    planter = Client()
    build.fill_cart(planter, ("SKU-madoka", 1))
    build.type_address(planter, family_name="悪田")
    planted = key_of(planter)
    victim = browser_with(planted)
    build.type_address(victim, family_name="白鳥", email="shiratori@example.jp")
    assert key_of(victim) != planted
    assert "shiratori" in victim.get("/checkout/").content.decode()
    seen = browser_with(planted).get("/checkout/").content.decode()
    assert "白鳥" not in seen and "shiratori" not in seen


def test_the_planter_of_a_session_does_not_get_the_link_of_the_order(shop: None, sandbox: Sandbox) -> None:
    victim = Client()
    build.fill_cart(victim, ("SKU-madoka", 1))
    page = confirmation(victim)
    planted = key_of(victim)  # learned after the address was typed
    assert place(victim, page).status_code == 303
    assert key_of(victim) != planted
    order_page = f"/orders/{Order.objects.get().token}/"
    assert victim.get("/checkout/")["Location"] == order_page  # back from Stripe's page
    stolen = Client()
    stolen.cookies["sessionid"] = planted
    assert stolen.get("/checkout/")["Location"] == "/cart/"


def test_a_session_with_an_address_ends_after_four_hours_and_is_then_deleted(
    client: Client, shop: None
) -> None:
    build.fill_cart(client, ("SKU-madoka", 1))
    build.type_address(client)
    assert client.cookies["sessionid"]["max-age"] == 4 * 3600
    now = timezone.now()
    schedule.prune(now + timedelta(hours=3, minutes=59))
    assert Session.objects.count() == 1
    assert "期限切れのセッション 1 件を削除" in schedule.prune(now + timedelta(hours=4, minutes=1))
    assert Session.objects.count() == 0


def test_staff_who_buy_a_lamp_stay_signed_in(client: Client, shop: None) -> None:
    client.force_login(User.objects.create_superuser("staff", password="x"))
    build.fill_cart(client, ("SKU-madoka", 1))
    build.type_address(client)
    assert client.cookies["sessionid"]["max-age"] == 14 * 24 * 3600
    assert client.get("/admin/").status_code == 200


def test_a_renewed_session_is_stored_once_and_ends_the_old_row() -> None:
    session = SessionStore()
    session["typed"] = "白鳥"
    session.save()
    old = session.session_key
    session.cycle_key()
    session["address"] = "東京都"
    assert [row.session_key for row in Session.objects.all()] == [old]  # a page that fails changes nothing
    session.save()
    (row,) = Session.objects.all()
    assert row.session_key == session.session_key != old
    assert row.get_decoded() == {"typed": "白鳥", "address": "東京都"}


def test_a_key_that_is_taken_is_not_written_over() -> None:
    theirs = SessionStore()
    theirs["address"] = "東京都"
    theirs.save()
    with pytest.raises(CreateError):
        SessionStore(theirs.session_key).save(must_create=True)
    assert SessionStore(theirs.session_key)["address"] == "東京都"
