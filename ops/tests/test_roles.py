"""Roles of staff: what each may do, and that only superusers change rights."""

import re

import pytest
from allauth.mfa.models import Authenticator
from django.apps import apps
from django.conf import settings as project
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from kikaku.sandbox import Sandbox
from ledger.testing import build
from ops.people import roles

pytestmark = pytest.mark.django_db


def held(role: str) -> set[str]:
    pairs = Group.objects.get(name=role).permissions.values_list("content_type__app_label", "codename")
    return {f"{app}.{name}" for app, name in pairs}


def member(client: Client, role: str, **fields: bool) -> User:
    user = User.objects.create_user("member", "member@example.jp", "x", is_staff=True, **fields)
    user.groups.add(Group.objects.get(name=role))
    client.force_login(user)
    return user


@pytest.mark.parametrize("role", roles.ROLES)
def test_the_groups_hold_what_the_table_says(role: str) -> None:
    assert held(role) == roles.permissions_of(role) != frozenset()


def test_every_page_of_the_admin_is_named_in_the_table() -> None:
    named = {name for right in roles.RIGHTS for name in right.permissions}
    shown = {f"{model._meta.app_label}.view_{model._meta.model_name}" for model in admin.site._registry}
    assert shown <= named


def test_applying_the_roles_again_undoes_what_was_changed_in_them() -> None:
    packer = Group.objects.get(name=roles.PACKER)
    packer.permissions.set(Permission.objects.filter(codename__in=["refund_order", "view_order"]))
    others = Group.objects.create(name="店頭")
    others.permissions.add(Permission.objects.get(codename="view_order"))
    roles.apply_roles(apps)
    assert held(roles.PACKER) == roles.permissions_of(roles.PACKER)
    assert held("店頭") == {"ledger.view_order"}


def test_the_document_holds_the_table() -> None:
    text = (project.BASE_DIR / "docs" / "operations.md").read_text()
    written = re.findall(r"^\| (.+?) \| (.*) \|$", text, flags=re.MULTILINE)
    rows = {name: [cell.strip() for cell in cells.split("|")] for name, cells in written}
    assert rows["できること"] == list(roles.ROLES)
    for right in roles.RIGHTS:
        assert rows.get(right.name) == ["○" if role in right.roles else "" for role in roles.ROLES], (
            right.name
        )


def test_a_packer_ships_and_does_nothing_else(client: Client, sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    member(client, roles.PACKER)
    page = f"/admin/ledger/order/{order.pk}"
    shown = client.get(f"{page}/change/").content.decode()
    assert f"{page}/ship/" in shown
    assert client.get(f"{page}/ship/").status_code == 200
    for act in ("refund", "keep", "cancel"):
        assert f"{page}/{act}/" not in shown
        assert client.post(f"{page}/{act}/", {"nonce": "n"}).status_code == 403
    for place in ("ledger/journalentry", "ledger/payment", "shop/product", "auth/user", "auditlog/logentry"):
        assert client.get(f"/admin/{place}/").status_code == 403


@pytest.mark.parametrize("amount,status", [(1_000, 200), (1_001, 422)])
def test_a_refund_above_the_ceiling_needs_its_own_right(
    client: Client, sandbox: Sandbox, settings: Settings, amount: int, status: int
) -> None:
    settings.REFUND_CEILING = 1_500
    order = build.paid_order(sandbox)
    build.refund(order, 500)
    member(client, roles.MANAGER)
    form = {"nonce": "n", "what": "amount", "amount": str(amount), "reason": "staff", "side": "sales"}
    answer = client.post(f"/admin/ledger/order/{order.pk}/refund/", form)
    assert answer.status_code == status
    assert bool(answer.context["form"].non_field_errors()) is (status == 422)
    assert order.refunds.count() == 1


def test_cancelling_above_the_ceiling_needs_the_right_to_refund_above_it(
    client: Client, sandbox: Sandbox, settings: Settings
) -> None:
    settings.REFUND_CEILING = 1
    order = build.paid_order(sandbox)
    member(client, roles.MANAGER)
    answer = client.post(f"/admin/ledger/order/{order.pk}/cancel/", {"nonce": "n", "reason": "staff"})
    assert answer.status_code == 422
    order.refresh_from_db()
    assert order.status == "paid" and not order.refunds.exists()


RAISES = {"is_superuser": "on", "is_staff": "on", "is_active": "on", "username": "member", "groups": "1"}


def test_only_superusers_change_rights(client: Client) -> None:
    user = member(client, roles.OWNER)
    names = ["add_user", "change_user", "delete_user", "add_group", "change_group", "delete_group"]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    group = Group.objects.get(name=roles.PACKER)
    posts = {
        f"/admin/auth/user/{user.pk}/change/": RAISES,
        f"/admin/auth/user/{user.pk}/password/": {"password1": "a-new-one-1", "password2": "a-new-one-1"},
        f"/admin/auth/user/{user.pk}/delete/": {"post": "yes"},
        "/admin/auth/user/add/": {"username": "new", "password1": "a-new-one-1", "password2": "a-new-one-1"},
        f"/admin/auth/group/{group.pk}/change/": {"name": group.name, "permissions": "1"},
        f"/admin/auth/group/{group.pk}/delete/": {"post": "yes"},
        "/admin/auth/group/add/": {"name": "x"},
    }
    for page, form in posts.items():
        assert client.post(page, form).status_code == 403, page
    assert client.get("/admin/auth/user/").status_code == 200
    user.refresh_from_db()
    assert not user.is_superuser and User.objects.count() == 1
    assert held(roles.PACKER) == roles.permissions_of(roles.PACKER)


def test_one_form_makes_a_packers_account(admin_client: Client) -> None:
    packer = Group.objects.get(name=roles.PACKER)
    page = admin_client.get("/admin/auth/user/add/")
    form = {
        name: field.initial for name, field in page.context["adminform"].form.fields.items() if field.initial
    }
    assert form == {"is_staff": True}
    form |= {
        "username": "sato",
        "email": "sato@example.jp",
        "groups": [packer.pk],
        "password1": "a-new-one-1",
        "password2": "a-new-one-1",
    }
    assert admin_client.post("/admin/auth/user/add/", form).status_code == 302
    user = User.objects.get(username="sato")
    assert (user.is_staff, user.is_superuser, user.email) == (True, False, "sato@example.jp")
    assert list(user.groups.all()) == [packer] and user.check_password("a-new-one-1")


def test_the_accounts_are_listed_with_role_and_second_factor_in_few_queries(
    admin_client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for name in ("sato", "suzuki", "tanaka"):
        user = User.objects.create_user(name, password=None, is_staff=True)
        user.groups.set(Group.objects.filter(name__in=[roles.PACKER, roles.READER]))
    Authenticator.objects.create(user=user, type=Authenticator.Type.TOTP, data={})
    with django_assert_max_num_queries(8):
        page = admin_client.get("/admin/auth/user/")
    assert page.content.decode().count("出荷担当、閲覧") == 3
    shown = {row.username: row.two_factor for row in page.context["cl"].result_list}
    assert shown == {"admin": False, "sato": False, "suzuki": False, "tanaka": True}


def test_a_superuser_gives_a_role(admin_client: Client) -> None:
    user = User.objects.create_user("sato", password="x")
    group = Group.objects.get(name=roles.PACKER)
    form = {
        "username": "sato",
        "is_active": "on",
        "is_staff": "on",
        "groups": str(group.pk),
        "date_joined_0": "2026-12-01",
        "date_joined_1": "00:00:00",
    }
    assert admin_client.post(f"/admin/auth/user/{user.pk}/change/", form).status_code == 302
    user.refresh_from_db()
    assert user.is_staff and user.has_perm("ledger.ship_order")
    assert not user.has_perm("ledger.refund_order")
