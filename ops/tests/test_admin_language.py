"""Staff read Japanese, one style of dates, and amounts with separators on every page of the admin."""

import html
import re
from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from kikaku.sandbox import Sandbox
from ledger.testing import build
from ledger.testing.closing import MONDAY, at, night_after, set_clock
from ops.jobs import schedule
from shop.testing import build as shop

pytestmark = pytest.mark.django_db(transaction=True)

OTHER_DATES = re.compile(r"\d年\d|\d:\d\d:\d\d|[+]09:00|\b(?:a|p)\.m\.")
UNFORMATTED = re.compile(r"-?\d{5,}")
UNTRANSLATED = re.compile(
    r"\bCan (?:add|change|delete|view)\b|\d changes?:|Correlation|Raw passwords|^system$"
)


def texts(page: str) -> list[str]:
    """Return the texts of a page that a person reads."""
    page = re.sub(r"<(script|style|svg|iframe|textarea|pre)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return [html.unescape(text).strip() for text in re.split(r"<[^>]+>", page) if text.strip()]


@pytest.fixture
def busy_shop(sandbox: Sandbox, admin_client: Client) -> None:
    """Make a row of almost every kind: a day with a sale, a refund, a parcel, mails, jobs and changes."""
    order = build.paid_order(sandbox, now=set_clock(sandbox, at(MONDAY)))
    build.ship(order, {order.lines.get().pk: 1})
    build.refund(order, 1_500)
    set_clock(sandbox, night_after(MONDAY))
    for name in schedule.JOBS:
        schedule.run(name, now=night_after(MONDAY))
    shop.product()
    page = shop.content_page()
    admin_client.post("/contact/", {"name": "花子", "email": "hanako@example.jp", "message": "x"})
    fields = {"title_ja": "新しい題", "title_en": "", "body_ja": "<p>新</p>", "body_en": ""}
    assert admin_client.post(f"/admin/shop/contentpage/{page.pk}/change/", fields).status_code == 302
    Group.objects.create(name="店頭")


def test_every_page_of_the_admin_is_japanese_with_one_style_of_dates_and_amounts(
    busy_shop: None, admin_client: Client
) -> None:
    wrong: dict[str, list[str]] = {}
    for model in admin.site._registry:
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        pages = [reverse(f"admin:{name}_changelist")]
        rows = model._default_manager.all()[:3]
        pages += [reverse(f"admin:{name}_change", args=[quote(row.pk)]) for row in rows]
        for page in pages:
            answer = admin_client.get(page)
            assert answer.status_code == 200, page
            found = [
                text
                for text in texts(answer.content.decode())
                if OTHER_DATES.search(text) or UNTRANSLATED.search(text) or UNFORMATTED.fullmatch(text)
            ]
            if found and name != "ledger_remotearea":  # its numbers are the beginnings of postal codes
                wrong[page] = found
    assert wrong == {}


def test_months_and_days_above_a_list_are_written_as_its_dates(
    sandbox: Sandbox, admin_client: Client
) -> None:
    for day in (MONDAY, MONDAY + timedelta(days=1), MONDAY + timedelta(days=30)):
        build.paid_order(sandbox, now=set_clock(sandbox, at(day)))
    build.fetch(sandbox)
    journal = "/admin/ledger/journalentry/"
    assert {"2026-11", "2026-12"} <= set(texts(admin_client.get(journal).content.decode()))
    november = texts(admin_client.get(f"{journal}?day__year=2026&day__month=11").content.decode())
    assert {"11-16", "11-17"} <= set(november)


def test_the_audit_log_names_what_was_changed_in_japanese(busy_shop: None, admin_client: Client) -> None:
    changes = "/admin/auditlog/logentry/?action=1"
    listed = admin_client.get(changes).content.decode()
    assert "固定ページ: 新しい題" in texts(listed)
    assert any("タイトル（日本語）" in text for text in texts(listed))
    [link] = set(re.findall(r"/admin/auditlog/logentry/\d+/change/", listed))
    shown = texts(admin_client.get(link).content.decode())
    assert {"変更前", "変更後", "特定商取引法に基づく表記", "新しい題"} <= set(shown)
    made = texts(admin_client.get("/admin/auditlog/logentry/?action=0").content.decode())
    assert "商品: シーリングライト まどか" in made and "システム" in made


def test_jobs_and_permissions_have_japanese_names(busy_shop: None, admin_client: Client) -> None:
    jobs = " ".join(texts(admin_client.get("/admin/ops/jobrun/").content.decode()))
    for text in ("残高取引の取得", "メールの送信", "残高取引 2 件を起票", "2026-11-16 を締めました"):
        assert text in jobs
    rights = texts(admin_client.get("/admin/auth/group/add/").content.decode())
    assert "注文と帳簿 | 注文 | 閲覧" in rights and "ショップ | 商品 | 変更" in rights
