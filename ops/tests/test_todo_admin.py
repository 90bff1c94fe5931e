"""The admin of to-dos: the list, the page of one, and who may see and do what."""

import re
from datetime import timedelta
from typing import Any

import pytest
from auditlog.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from ledger.models import Discrepancy
from ops.models import Todo
from ops.testing import todos
from shop.testing.build import product

pytestmark = pytest.mark.django_db

LIST = "/admin/ops/todo/"


def clerk(client: Client, *permissions: str, name: str = "clerk") -> User:
    """Sign a member of staff in who has these permissions alone."""
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)
    return user


def low_stock(sku: str = "CL-1") -> Todo:
    product(sku.lower(), sku=sku, on_hand=1)
    return todos.made(now=timezone.now())[f"low_stock:{sku}"]


def page(row: Todo, act: str = "change") -> str:
    return reverse(f"admin:ops_todo_{act}", args=[row.pk])


def form_of(client: Client, row: Todo) -> dict[str, str]:
    """Return the fields of a to-do's page as a browser would send them back unchanged."""
    form = client.get(page(row)).context["adminform"].form
    return {name: str(form[name].value() or "") for name in form.fields}


def text_of(answer: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def test_a_row_says_what_since_when_who_and_leads_to_the_matter(admin_client: Client) -> None:
    row = low_stock()
    answer = admin_client.get(LIST)
    for text in ("CL-1：販売可能な在庫は残り 1 点です", "注意", "在庫わずか", "未対応"):
        assert text in text_of(answer), text
    item = reverse("admin:ledger_stockitem_change", args=[row.figures["item"]])
    assert f'href="{item}"' in answer.content.decode()
    assert timezone.localtime(row.since).strftime("%Y-%m-%d %H:%M") in text_of(answer)


def test_the_list_shows_what_is_open_unless_asked_otherwise(admin_client: Client) -> None:
    low_stock("CL-1")
    done, mine = low_stock("CL-2"), low_stock("CL-3")
    Todo.objects.filter(pk=done.pk).update(state="done", ended_at=timezone.now())
    Todo.objects.filter(pk=mine.pk).update(assignee=User.objects.get(username="admin"), level=2)
    for query, skus in (
        ("", "13"),
        ("?state=done", "2"),
        ("?state=all", "123"),
        ("?assigned=me", "3"),
        ("?assigned=none", "1"),
        ("?level__exact=2", "3"),
        ("?kind__exact=dispute", ""),
        ("?q=CL-1", "1"),
    ):
        shown = set(re.findall(r"CL-(\d)：", text_of(admin_client.get(LIST + query))))
        assert shown == set(skus), query


def test_the_list_takes_as_many_queries_for_one_row_as_for_ten(admin_client: Client) -> None:
    counts = []
    for rows in (1, 9):
        for _ in range(rows):
            row = low_stock(f"CL-{next(todos.NUMBERS)}")
            Todo.objects.filter(pk=row.pk).update(assignee=User.objects.create(username=row.subject))
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(LIST)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_done_needs_no_text_for_what_has_no_action_but_a_discrepancy_does(admin_client: Client) -> None:
    row = low_stock()
    assert admin_client.get(page(row, "finish")).status_code == 200
    assert admin_client.post(page(row, "finish"), {"note": ""}).status_code == 302
    found = todos.difference(timezone.now())
    row = todos.made(now=timezone.now())[f"difference:{found.pk}"]
    assert admin_client.post(page(row, "finish"), {"note": " "}).status_code == 422
    row.refresh_from_db()
    assert row.state == "open"


def test_a_refused_act_is_shown_and_the_to_do_stays_open(admin_client: Client) -> None:
    found = todos.difference(timezone.now())
    row = todos.made(now=timezone.now())[f"difference:{found.pk}"]
    Discrepancy.objects.update(resolved_at=timezone.now(), resolved_by="taro")
    answer = admin_client.post(page(row, "finish"), {"note": "x"})
    assert answer.status_code == 422 and "すでに解決済みです" in text_of(answer)
    row.refresh_from_db()
    assert row.state == "open"


def test_who_comes_second_is_told_who_was_first(admin_client: Client) -> None:
    row = low_stock()
    Todo.objects.filter(pk=row.pk).update(state="done", ended_at=timezone.now(), ended_by="taro")
    answer = admin_client.post(page(row, "finish"), {"note": ""}, follow=True)
    assert "taro がすでに終了しています（対応済み" in text_of(answer)


def test_taking_a_to_do_and_writing_a_note_is_its_history(admin_client: Client) -> None:
    row = low_stock()
    admin_client.post(page(row, "take"))
    form = form_of(admin_client, row) | {"note": "発注済み"}
    assert form["assignee"]
    assert admin_client.post(page(row), form).status_code == 302
    admin_client.post(page(row, "finish"), {"note": "入荷予定"})
    row.refresh_from_db()
    assert (str(row.assignee), row.note, row.state) == ("admin", "発注済み\n入荷予定", "done")
    shown = text_of(admin_client.get(page(row)))
    for text in ("メモ: – → 発注済み", "状態: 未対応 → 対応済み", "admin"):
        assert text in shown, text
    assert LogEntry.objects.get_for_object(row).count() == 3


def test_a_form_that_is_older_than_anothers_change_is_refused(admin_client: Client) -> None:
    row = low_stock()
    form = form_of(admin_client, row)
    Todo.objects.filter(pk=row.pk).update(note="taro の電話待ち")
    answer = admin_client.post(page(row), form | {"note": "発注済み"})
    assert answer.status_code == 200 and "ほかの担当者がこの要対応を変更しました" in text_of(answer)
    row.refresh_from_db()
    assert row.note == "taro の電話待ち"


def test_taking_what_another_has_taken_is_refused(admin_client: Client) -> None:
    row = low_stock()
    Todo.objects.filter(pk=row.pk).update(assignee=User.objects.create(username="taro"))
    assert "すでに taro が担当しています" in text_of(admin_client.post(page(row, "take"), follow=True))


def test_the_page_offers_the_acts_of_an_open_to_do_alone(admin_client: Client) -> None:
    row = low_stock()
    shown = admin_client.get(page(row)).content.decode()
    assert page(row, "finish") in shown and page(row, "take") in shown
    assert page(row, "reject") not in shown
    assert admin_client.get(page(row, "reject")).status_code == 404
    Todo.objects.filter(pk=row.pk).update(state="gone", ongoing=False, ended_at=timezone.now())
    assert page(row, "finish") not in admin_client.get(page(row)).content.decode()


def test_staff_see_the_to_dos_whose_matter_they_may_see(client: Client) -> None:
    stock, found = low_stock(), todos.difference(timezone.now())
    difference = todos.made(now=timezone.now())[f"difference:{found.pk}"]
    clerk(client, "view_todo", "view_stockitem")
    assert "CL-1" in text_of(client.get(LIST)) and "金額" not in text_of(client.get(LIST))
    assert client.get(page(stock)).status_code == 200
    assert (
        client.get(page(difference)).status_code == 302
    )  # to the first page, as for a row that is not there
    assert client.post(page(difference, "finish"), {"note": "x"}).status_code in (403, 404)


def test_without_the_permission_there_is_no_list(client: Client) -> None:
    low_stock()
    clerk(client, "view_stockitem")
    assert client.get(LIST).status_code == 403
    assert LIST not in client.get("/admin/").content.decode()


def test_to_end_one_needs_the_permission_of_to_dos_and_that_of_the_action(client: Client) -> None:
    found = todos.difference(timezone.now())
    row = todos.made(now=timezone.now())[f"difference:{found.pk}"]
    seeing = ("view_todo", "view_discrepancy")
    for number, (more, status) in enumerate(
        (((), 403), (("change_todo",), 403), (("resolve_discrepancy",), 403))
    ):
        clerk(client, *seeing, *more, name=f"clerk{number}")
        assert client.post(page(row, "finish"), {"note": "x"}).status_code == status
        assert page(row, "finish") not in client.get(page(row)).content.decode()
    clerk(client, *seeing, "change_todo", "resolve_discrepancy", name="owner")
    assert client.post(page(row, "finish"), {"note": "x"}).status_code == 302
    row.refresh_from_db()
    assert row.ended_by == "owner"


@pytest.mark.parametrize("name", ["take", "finish", "approve", "reject"])
def test_a_link_alone_changes_nothing(admin_client: Client, name: str) -> None:
    row = low_stock()
    admin_client.get(page(row, name))
    row.refresh_from_db()
    assert (row.state, row.assignee) == ("open", None)


def test_rows_are_neither_added_nor_deleted_by_hand(admin_client: Client) -> None:
    row = low_stock()
    assert admin_client.get(f"{LIST}add/").status_code == 403
    assert admin_client.post(page(row, "delete"), {"post": "yes"}).status_code == 403


def test_an_ended_to_do_keeps_its_state_when_its_note_is_written_later(admin_client: Client) -> None:
    row = low_stock()
    admin_client.post(page(row, "finish"), {"note": ""})
    form = form_of(admin_client, row) | {"note": "追記"}
    assert admin_client.post(page(row), form).status_code == 302
    row.refresh_from_db()
    assert (row.state, row.note) == ("done", "追記")
    assert row.ended_at is not None and row.ended_at > timezone.now() - timedelta(minutes=1)
