"""The admin's first page shows what needs attention today."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from kikaku import days
from kikaku.sandbox import Sandbox
from ledger.books.discrepancies import note_discrepancy, resolve
from ledger.models import Discrepancy, StripeEvent, TaxStatus
from ledger.models.closing import DailyClose
from ledger.testing import build
from ledger.testing.dashboard import failed_later

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client: Client) -> Client:
    """Sign a superuser in."""
    client.force_login(User.objects.create_superuser("staff", "staff@example.jp", "x"))
    return client


def tiles(answer: object) -> dict[str, tuple[str, str]]:
    context = answer.context  # type: ignore[attr-defined]
    return {tile.url: (tile.value, tile.state) for tile in context["tiles"]}


def troubles(answer: object) -> dict[str, tuple[str, str]]:
    """Return title → (figure, since when) of what is said to be wrong."""
    context = answer.context  # type: ignore[attr-defined]
    return {matter.title: (matter.figure, matter.duration) for matter in context["troubles"] or ()}


@pytest.mark.parametrize("prefix", ["", "/en"])
@pytest.mark.parametrize("form", [{}, {"next": ""}])
def test_a_login_that_names_no_page_ends_on_the_first_page(
    client: Client, prefix: str, form: dict[str, str]
) -> None:
    User.objects.create_superuser("staff", "staff@example.jp", "x")
    answer = client.post(
        f"{prefix}/admin/login/", {"username": "staff", "password": "x", **form}, follow=True
    )
    assert answer.redirect_chain == [(f"{prefix}/admin/", 302)]
    assert answer.status_code == 200


def test_an_empty_shop_shows_no_alarm_but_for_its_missing_worker(staff: Client) -> None:
    answer = staff.get("/admin/")
    assert answer.status_code == 200
    shown = tiles(answer)
    assert shown["/admin/ledger/order/?todo=ship"] == ("0", "calm")
    assert shown["/admin/ledger/discrepancy/?state=open"] == ("0", "calm")
    assert set(troubles(answer)) == {"ワーカー"}


def test_a_missing_tax_status_is_an_alarm_until_it_is_entered(staff: Client) -> None:
    page = "/admin/ledger/taxstatus/"
    assert page not in tiles(staff.get("/admin/"))
    TaxStatus.objects.all().delete()
    answer = staff.get("/admin/")
    assert tiles(answer)[page] == ("未入力", "alarm")
    assert "注文を受けず、記帳もしていません" in answer.content.decode()

    staff.force_login(User.objects.create_user("packer", is_staff=True))
    answer = staff.get("/admin/")
    assert tiles(answer)[""] == ("未入力", "alarm") and page not in answer.content.decode()
    assert "店主が入力してください" in answer.content.decode()


def test_a_paid_order_waits_to_be_shipped(staff: Client, sandbox: object) -> None:
    paid = build.paid_order(sandbox)  # type: ignore[arg-type]
    answer = staff.get("/admin/")
    assert tiles(answer)["/admin/ledger/order/?todo=ship"] == ("1", "todo")
    assert paid.number in answer.content.decode()


def test_a_discrepancy_and_a_close_with_differences_are_alarms(staff: Client) -> None:
    now = timezone.now()
    day = (timezone.localtime(now) - timedelta(days=1)).date()
    Discrepancy.objects.create(kind="amount", object_id="txn_1", amount=5, day=day, created_at=now)
    DailyClose.objects.create(
        day=day,
        run=1,
        stripe_balance=0,
        book_balance=0,
        differences=1,
        manifest_sha256="0" * 64,
        closed_at=now,
    )
    shown = tiles(staff.get("/admin/"))
    assert shown["/admin/ledger/discrepancy/?state=open"] == ("1", "alarm")
    assert shown["/admin/ledger/dailyclose/"][1] == "alarm"


def note(kind: Discrepancy.Kind, object_id: str) -> Discrepancy:
    return note_discrepancy(kind, object_id, day=days.yesterday(timezone.now()), now=timezone.now())


def test_tiles_count_what_is_open_and_only_a_difference_is_an_alarm(staff: Client) -> None:
    close = {"stripe_balance": 0, "book_balance": 0, "manifest_sha256": "0" * 64}
    DailyClose.objects.create(
        day=days.yesterday(timezone.now()), run=1, differences=1, closed_at=timezone.now(), **close
    )
    open_rows, closed_day = "/admin/ledger/discrepancy/?state=open", "/admin/ledger/dailyclose/"
    note(Discrepancy.Kind.PAID_AFTER_CANCELLATION, "pi_1")
    shown = tiles(staff.get("/admin/"))
    assert (shown[open_rows], shown[closed_day][1]) == (("0", "calm"), "calm")
    note(Discrepancy.Kind.REFUND_FAILED, "re_1")
    shown = tiles(staff.get("/admin/"))
    assert (shown[open_rows], shown[closed_day][1]) == (("1", "todo"), "todo")
    difference = note(Discrepancy.Kind.AMOUNT, "ch_1")
    shown = tiles(staff.get("/admin/"))
    assert (shown[open_rows], shown[closed_day][1]) == (("2", "alarm"), "alarm")
    resolve(difference, resolution="a typo", actor="staff", now=timezone.now())
    shown = tiles(staff.get("/admin/"))
    assert (shown[open_rows], shown[closed_day][1]) == (("1", "todo"), "todo")


def test_a_failed_refund_waits_among_the_discrepancies_until_its_money_was_refunded_again(
    staff: Client, sandbox: Sandbox
) -> None:
    refund = failed_later(sandbox, 2_000)
    for open_rows in (("1", "todo"), ("0", "calm")):
        shown = tiles(staff.get("/admin/"))
        assert shown["/admin/ledger/discrepancy/?state=open"] == open_rows
        build.refund(refund.order, 2_000)


def test_events_that_the_shop_does_not_handle_are_counted_until_they_are_set_aside(staff: Client) -> None:
    url = "/admin/ledger/stripeevent/?status__exact=unhandled"
    assert url not in tiles(staff.get("/admin/"))
    for number, kind in enumerate(("payout.paid", "payout.paid", "charge.dispute.created")):
        StripeEvent.objects.create(
            id=f"evt_{number}",
            type=kind,
            created=timezone.now(),
            received_at=timezone.now(),
            payload={},
            status=StripeEvent.Status.UNHANDLED,
        )
    answer = staff.get("/admin/")
    assert tiles(answer)[url] == ("3", "alarm")
    assert "charge.dispute.created 1, payout.paid 2" in answer.content.decode()
    StripeEvent.objects.filter(type="charge.dispute.created").update(status="set_aside")
    assert tiles(staff.get("/admin/"))[url] == ("2", "todo")
    StripeEvent.objects.update(status="set_aside")
    assert url not in tiles(staff.get("/admin/"))


def test_staff_see_only_tiles_that_they_have_permission_for(client: Client) -> None:
    packer = User.objects.create_user("packer", password="x", is_staff=True)
    packer.user_permissions.add(Permission.objects.get(codename="view_order"))
    client.force_login(packer)
    answer = client.get("/admin/")
    orders = "/admin/ledger/order/"
    assert set(tiles(answer)) == {f"{orders}?todo=ship"}  # a packer needs no sales
    assert "/admin/ledger/dailyclose/" not in answer.content.decode() and "sales" not in answer.context
    packer.user_permissions.add(Permission.objects.get(codename="view_payment"))
    assert set(tiles(client.get("/admin/"))) == {f"{orders}?todo=ship", f"{orders}?todo=pay", orders}


def test_the_menu_leads_to_pages_that_open_and_marks_the_one_that_is_open(staff: Client) -> None:
    from ops.admin import menu

    request = staff.get("/admin/").wsgi_request
    links = [item["link"] for group in menu.navigation(request) for item in group["items"]]
    assert len(links) > 15
    ledger = ("/admin/ledger/journalentry/ledger/4110/", "/admin/ledger/journalentry/")
    for page, marked in (*zip(links, links, strict=True), ledger):
        answer = staff.get(page)
        assert answer.status_code == 200, page
        items = [item for group in menu.navigation(answer.wsgi_request) for item in group["items"]]
        assert [item["link"] for item in items if item["active"]] == [marked], page
