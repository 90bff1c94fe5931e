"""The audit log: it follows all that staff edit, cannot be rewritten, and holds no secret."""

import pytest
from auditlog.models import LogEntry
from auditlog.registry import auditlog
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db import DatabaseError, connection
from django.db.models import Model
from django.test import Client, RequestFactory

from kikaku.testing.database import engine
from ops.people import roles, triggers

pytestmark = pytest.mark.django_db

# models with a form in the admin that the audit log does not follow, and why
NOT_FOLLOWED: dict[str, str] = {}

PAGE = "/admin/auth/user/{}/change/"


def editable_models() -> set[type[Model]]:
    """Return the models of which a superuser may add, change or delete rows, inlines included."""
    request = RequestFactory().get("/admin/")
    request.user = User(is_superuser=True, is_staff=True, is_active=True)
    found: set[type[Model]] = set()
    for model, page in admin.site._registry.items():
        inlines = [inline(model, admin.site) for inline in page.inlines]
        for one in [page, *inlines]:
            if (
                (one.has_add_permission(request, None) if one in inlines else one.has_add_permission(request))
                or one.has_change_permission(request)
                or one.has_delete_permission(request)
            ):
                found.add(one.model)
    return found


def test_the_log_follows_every_model_that_staff_can_edit() -> None:
    editable = editable_models()
    assert {User, Group} <= editable
    missing = {model._meta.label for model in editable if not auditlog.contains(model)}
    assert missing == set(NOT_FOLLOWED)


def rights_form(user: User, **fields: object) -> dict[str, object]:
    return {
        "username": user.username,
        "is_active": "on",
        "date_joined_0": "2026-12-01",
        "date_joined_1": "00:00:00",
        **fields,
    }


def test_a_change_of_rights_names_who_from_where_before_and_after(admin_client: Client) -> None:
    user = User.objects.create_user("sato", password="x")
    packer, owner = (Group.objects.get(name=name) for name in (roles.PACKER, roles.OWNER))
    user.groups.add(owner)
    form = rights_form(user, is_staff="on", groups=str(packer.pk))
    assert admin_client.post(PAGE.format(user.pk), form).status_code == 302
    entries = LogEntry.objects.get_for_object(user).filter(actor__username="admin")
    changes: dict[str, object] = {}
    for entry in entries.order_by("pk"):
        assert entry.remote_addr == "127.0.0.1"
        for name, change in entry.changes_dict.items():
            changes[f"{name} {change['operation']}" if isinstance(change, dict) else name] = change
    assert changes["is_staff"] == ["False", "True"]
    assert {"groups add", "groups delete"} <= set(changes)
    shown = "".join(
        admin_client.get(f"/admin/auditlog/logentry/{entry.pk}/change/").content.decode() for entry in entries
    )
    assert all(text in shown for text in (roles.PACKER, roles.OWNER, "グループ", "127.0.0.1", "変更前"))


def test_a_change_of_a_role_is_readable_in_japanese(admin_client: Client) -> None:
    group = Group.objects.get(name=roles.READER)
    kept = list(group.permissions.exclude(codename="view_order").values_list("pk", flat=True))
    answer = admin_client.post(
        f"/admin/auth/group/{group.pk}/change/", {"name": group.name, "permissions": kept}
    )
    assert answer.status_code == 302
    entry = LogEntry.objects.get_for_object(group).latest("pk")
    shown = admin_client.get(f"/admin/auditlog/logentry/{entry.pk}/change/").content.decode()
    assert "注文 | 閲覧" in shown and "Can view" not in shown


def test_a_password_is_logged_as_changed_and_never_itself(admin_client: Client) -> None:
    user = User.objects.create_user("sato", password="first-secret-9")
    form = {"password1": "second-secret-9", "password2": "second-secret-9", "usable_password": "true"}
    assert admin_client.post(f"/admin/auth/user/{user.pk}/password/", form).status_code == 302
    user.refresh_from_db()
    assert user.check_password("second-secret-9")
    entries = LogEntry.objects.get_for_object(user)
    assert entries.latest("pk").changes_dict == {"password": ["＊＊＊", "＊＊＊"]}
    written = "".join(str(entry.changes) for entry in entries)
    assert "secret" not in written and "$" not in written


def test_an_account_is_made_inactive_and_never_deleted(admin_client: Client) -> None:
    user = User.objects.create_user("sato")
    assert admin_client.post(f"/admin/auth/user/{user.pk}/delete/", {"post": "yes"}).status_code == 403


@pytest.mark.django_db(transaction=True)
def test_the_database_refuses_to_rewrite_the_log() -> None:
    user = User.objects.create_user("sato")
    entry = LogEntry.objects.get_for_object(user).get()
    with pytest.raises(DatabaseError):
        LogEntry.objects.filter(pk=entry.pk).update(object_repr="nobody")
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM ledger_test_database")
    try:
        with pytest.raises(DatabaseError):
            LogEntry.objects.filter(pk=entry.pk).delete()
        if engine() != "postgresql":
            with pytest.raises(DatabaseError), connection.cursor() as cursor:
                cursor.execute(
                    "INSERT OR REPLACE INTO auditlog_logentry SELECT * FROM auditlog_logentry WHERE id = %s",
                    [entry.pk],
                )
    finally:
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO ledger_test_database VALUES (1)")
    entry.refresh_from_db()
    assert entry.object_repr == "sato"


@pytest.mark.django_db(transaction=True)
def test_a_missing_trigger_is_found() -> None:
    assert triggers.broken_triggers(connection) == {}
    name = "auditlog_logentry_no_update"
    on_table = " ON auditlog_logentry" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER {name}{on_table}")
    try:
        assert triggers.broken_triggers(connection) == {name: "missing"}
    finally:
        with connection.cursor() as cursor:
            cursor.execute(triggers.triggers(connection)[name])
