"""Admin of the books: read-only for users with permission; discrepancies are resolved with a reason."""

from datetime import UTC, date, datetime

import pytest
from django.contrib.auth.models import Permission, User
from django.db import transaction
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from kikaku.money import yen
from kikaku.sandbox import Sandbox
from ledger.books import discrepancies, journal
from ledger.closing.daily_close import close_day
from ledger.models import Account, BalanceTransaction, Discrepancy, JournalEntry, Payment, Refund
from ledger.testing import build
from ledger.testing.closing import MONDAY, TUESDAY, at, night_after, run_business_day, set_clock
from ledger.testing.tampering import tamper

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
MODELS = ["journalentry", "dailyclose", "discrepancy"]


@pytest.fixture
def closed(sandbox: Sandbox) -> None:
    """Close a business day."""
    run_business_day(sandbox, MONDAY)
    close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))


def discrepancy() -> Discrepancy:
    """Return a stored discrepancy."""
    return discrepancies.note_discrepancy(
        "amount", "ch_1", day=date(2026, 11, 16), amount=-5, detail="differs", now=NOW
    )


@pytest.mark.parametrize("model", MODELS)
def test_each_list_and_page_of_the_books_loads(closed: None, admin_client: Client, model: str) -> None:
    row = discrepancy()
    pages = {
        "journalentry": JournalEntry.objects.earliest("pk").pk,
        "dailyclose": MONDAY.isoformat(),
        "discrepancy": row.pk,
    }
    assert admin_client.get(reverse(f"admin:ledger_{model}_changelist")).status_code == 200
    page = admin_client.get(reverse(f"admin:ledger_{model}_change", args=[pages[model]]))
    assert page.status_code == 200
    assert 'name="_save"' not in page.content.decode()


@pytest.mark.parametrize("model", MODELS)
def test_rows_of_the_books_cannot_be_added_or_deleted(closed: None, admin_client: Client, model: str) -> None:
    assert admin_client.get(reverse(f"admin:ledger_{model}_add")).status_code == 403
    pk = {"journalentry": JournalEntry.objects.earliest("pk").pk, "dailyclose": MONDAY.isoformat()}.get(model)
    pk = pk or discrepancy().pk
    assert admin_client.post(reverse(f"admin:ledger_{model}_delete", args=[pk])).status_code == 403


def test_an_account_can_be_added_and_renamed_but_not_deleted_or_given_another_code(
    admin_client: Client,
) -> None:
    new = {
        "code": "6130",
        "name_ja": "広告宣伝費",
        "name_en": "Advertising",
        "type": "expense",
        "tax_class": "",
    }
    assert admin_client.post(reverse("admin:ledger_account_add"), new).status_code == 302
    change = reverse("admin:ledger_account_change", args=["6130"])
    admin_client.post(change, {**new, "code": "9999", "type": "asset", "name_ja": "広告費"})
    account = Account.objects.get(code="6130")
    assert (account.name_ja, account.type) == ("広告費", "expense")
    assert not Account.objects.filter(code="9999").exists()
    assert admin_client.post(reverse("admin:ledger_account_delete", args=["6130"])).status_code == 403


def test_the_list_of_entries_takes_no_query_per_row(
    closed: None, admin_client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_max_num_queries(10):
        admin_client.get(reverse("admin:ledger_journalentry_changelist"))


def test_an_evidence_file_opens_in_the_browser(closed: None, admin_client: Client) -> None:
    page = admin_client.get(reverse("admin:ledger_dailyclose_evidence", args=[MONDAY, "report.html"]))
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "日次締め報告書" in page.getvalue().decode()
    table = admin_client.get(reverse("admin:ledger_dailyclose_evidence", args=[MONDAY, "journal.csv"]))
    assert 'attachment; filename="2026-11-16-journal.csv"' in table.headers["Content-Disposition"]


@pytest.mark.parametrize("name", ["secret.txt", "%2e%2e%5cstripe.sqlite3", "port.html"])
def test_other_files_than_evidence_are_not_found(closed: None, admin_client: Client, name: str) -> None:
    address = reverse("admin:ledger_dailyclose_evidence", args=[MONDAY, "x"]).removesuffix("x") + name
    assert admin_client.get(address).status_code == 404


def test_evidence_requires_the_permission_to_view_closes(closed: None, client: Client) -> None:
    address = reverse("admin:ledger_dailyclose_evidence", args=[MONDAY, "report.json"])
    assert client.get(address).status_code == 302  # to the login
    staff = User.objects.create_user("staff", is_staff=True)
    client.force_login(staff)
    assert client.get(address).status_code == 403
    staff.user_permissions.add(*Permission.objects.filter(codename__in=["view_dailyclose", "export_books"]))
    assert client.get(address).status_code == 200


def test_resolving_a_discrepancy_stores_the_text_and_the_user(admin_client: Client, admin_user: User) -> None:
    row = discrepancy()
    address = reverse("admin:ledger_discrepancy_resolve", args=[row.pk])
    assert admin_client.get(address).status_code == 200
    assert admin_client.post(address, {"resolution": "   "}).status_code == 200  # asks again
    row.refresh_from_db()
    assert row.resolved_at is None
    assert admin_client.post(address, {"resolution": "Stripe corrected it"}).status_code == 302
    row.refresh_from_db()
    assert (row.resolution, row.resolved_by) == ("Stripe corrected it", admin_user.username)


def test_a_resolution_is_stored_once(admin_client: Client) -> None:
    row = discrepancy()
    assert discrepancies.resolve(row, resolution="first", actor="a", now=NOW)
    assert not discrepancies.resolve(row, resolution="second", actor="b", now=NOW)
    admin_client.post(reverse("admin:ledger_discrepancy_resolve", args=[row.pk]), {"resolution": "third"})
    row.refresh_from_db()
    assert (row.resolution, row.resolved_by) == ("first", "a")


def test_resolving_requires_the_permission(client: Client) -> None:
    row = discrepancy()
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_discrepancy"))
    client.force_login(viewer)
    client.post(reverse("admin:ledger_discrepancy_resolve", args=[row.pk]), {"resolution": "mine"})
    row.refresh_from_db()
    assert row.resolved_at is None


def test_a_resolution_without_text_is_refused() -> None:
    with pytest.raises(discrepancies.ResolutionMissing):
        discrepancies.resolve(discrepancy(), resolution=" \n", actor="a", now=NOW)


def test_a_close_shows_its_result_in_words_and_links_its_files(closed: None, admin_client: Client) -> None:
    content = admin_client.get(
        reverse("admin:ledger_dailyclose_change", args=[MONDAY.isoformat()])
    ).content.decode()
    assert "差異なし" in content and "&#x27;clean&#x27;" not in content
    vouchers = [entry.voucher for entry in JournalEntry.objects.filter(day=MONDAY).order_by("pk")]
    assert f"{len(vouchers)} 件（伝票 {vouchers[0]}〜{vouchers[-1]}）" in content
    assert "?day_from=2026-11-16&amp;day_to=2026-11-16" in content
    for name in ("report.html", "report.json", "stripe-evidence.json", "journal.csv", "manifest.json"):
        address = reverse("admin:ledger_dailyclose_evidence", args=[MONDAY.isoformat(), name])
        assert f'href="{address}"' in content
        assert admin_client.get(address).status_code == 200


def test_entries_show_their_sources_in_japanese(closed: None, admin_client: Client) -> None:
    address = reverse("admin:ledger_journalentry_changelist")
    content = admin_client.get(address).content.decode()
    assert "残高取引" in content and ">balance_transaction<" not in content
    shipments = JournalEntry.objects.filter(source_type="shipment").count()
    only = admin_client.get(address, {"source_type": "shipment"}).content.decode()
    assert only.count("出荷 K") == shipments > 0
    assert "入金 K" not in only


def test_a_resolved_discrepancy_offers_no_action(admin_client: Client) -> None:
    row = discrepancy()
    address = reverse("admin:ledger_discrepancy_change", args=[row.pk])
    assert "/resolve/" in admin_client.get(address).content.decode()
    discrepancies.resolve(row, resolution="手数料の改定", actor="sato", now=NOW)
    content = admin_client.get(address).content.decode()
    assert "/resolve/" not in content and "手数料の改定" in content and "解決済み" in content


def test_balance_transactions_are_listed_in_yen(
    closed: None, admin_client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_max_num_queries(9):
        content = admin_client.get(reverse("admin:ledger_balancetransaction_changelist")).content.decode()
    transaction = BalanceTransaction.objects.earliest("pk")
    assert transaction.id in content and yen(transaction.net) in content
    for model, row in (
        ("payment", Payment.objects.earliest("pk")),
        ("refund", Refund.objects.earliest("pk")),
    ):
        listed = admin_client.get(reverse(f"admin:ledger_{model}_changelist")).content.decode()
        assert yen(row.amount) in listed
        assert admin_client.get(reverse(f"admin:ledger_{model}_change", args=[row.pk])).status_code == 200


def test_the_history_of_edits_is_linked_only_where_rows_can_be_edited(
    closed: None, admin_client: Client
) -> None:
    close = reverse("admin:ledger_dailyclose_change", args=[MONDAY.isoformat()])
    assert "/history/" not in admin_client.get(close).content.decode()
    account = reverse("admin:ledger_account_change", args=["1150"])
    assert "/history/" in admin_client.get(account).content.decode()


JOURNAL = "/admin/ledger/journalentry/"


def vouchers_found(admin_client: Client, **parameters: str) -> set[str]:
    """Return the voucher numbers that the list of entries shows."""
    answer = admin_client.get(JOURNAL, parameters)
    assert answer.status_code == 200
    return {entry.voucher for entry in answer.context["cl"].result_list}


def test_day_amount_and_customer_together_find_the_capture_and_only_it(
    sandbox: Sandbox, admin_client: Client
) -> None:
    now = set_clock(sandbox, at(MONDAY, 10))
    order = build.paid_order(sandbox, placed=build.worked_order(now=now), now=now)
    build.paid_order(sandbox, [build.line(price=11_500)], family_name="小林", now=now)
    build.fetch(sandbox)
    build.ship(order, now=set_clock(sandbox, at(TUESDAY, 10)))
    capture = order.entries.get(purpose="capture")
    day = {"day_from": "2026-11-16", "day_to": "2026/11/16"}
    amount = {"amount_from": "12,000", "amount_to": "12200"}
    customer = {"counterparty": "山田花子"}
    assert vouchers_found(admin_client, **day, **amount, **customer) == {capture.voucher}
    lines = capture.lines.values_list("account", "debit", "credit")
    assert set(lines) == {("1150", 11_693, 0), ("6110", 437, 0), ("2130", 0, 12_130)}
    listed = admin_client.get(JOURNAL, day | amount | customer).content.decode()
    assert "¥12,130" in listed and "¥12,567" not in listed  # the amount is not that with the fee
    assert len(vouchers_found(admin_client, **day, **amount)) == 2  # that of 小林, too
    assert len(vouchers_found(admin_client, **amount, **customer)) == 2  # the parcel, too
    assert vouchers_found(admin_client, **day, counterparty="山田　花子") == {capture.voucher}
    assert vouchers_found(admin_client, day_to="2026-11-15") == set()
    assert len(vouchers_found(admin_client, day_from="never", amount_from="much")) == 3


def test_the_search_finds_voucher_order_customer_and_amount(closed: None, admin_client: Client) -> None:
    capture = JournalEntry.objects.select_related("order").get(purpose="capture", amount=12_130)
    assert capture.order is not None
    of_order = {entry.voucher for entry in capture.order.entries.all()}
    assert vouchers_found(admin_client, q=capture.voucher) == {capture.voucher}
    assert vouchers_found(admin_client, q=f"２０２６－{capture.pk}") == {capture.voucher}
    assert vouchers_found(admin_client, q=f"2025-{capture.pk}") == set()
    assert vouchers_found(admin_client, q=capture.order.number) == of_order
    assert vouchers_found(admin_client, q=f"山田 花子 {capture.order.number} ¥12,130") < of_order
    assert vouchers_found(admin_client, q=f"やまだ {capture.order.number}") == of_order
    assert vouchers_found(admin_client, q="2026-11-16 Stripe") == set()
    assert vouchers_found(admin_client, q=capture.source_id) == {capture.voucher}


def test_an_entry_of_form_1_is_found_by_the_amount_of_its_lines_and_either_year(
    closed: None, admin_client: Client
) -> None:
    capture = JournalEntry.objects.get(purpose="capture", amount=12_130)
    tamper(
        "UPDATE ledger_journalentry SET form = NULL, amount = NULL, counterparty = NULL, fiscal_year = NULL,"
        f" day = '2027-02-01' WHERE id = {capture.pk}"
    )
    of_stripe = "INSERT INTO ledger_journalline (entry_id, position, account_id, debit, credit) VALUES"
    tamper(f"{of_stripe} ({capture.pk}, 8, '1150', 437, 0), ({capture.pk}, 9, '1150', 0, 437)")
    capture.refresh_from_db()
    day = {"day_from": "2027-02-01"}
    assert capture.voucher == f"2027-{capture.pk}", "as evidence may have named it"
    for written in ("2026", "2027"):  # the fiscal year that began in April, the calendar year
        assert vouchers_found(admin_client, q=f"{written}-{capture.pk}") == {capture.voucher}
    assert vouchers_found(admin_client, **day, amount_from="12130", amount_to="12130") == {capture.voucher}
    assert vouchers_found(admin_client, **day, amount_from="12131") == set()
    assert vouchers_found(admin_client, **day, q="¥12,130") == {capture.voucher}
    assert "¥12,130" in admin_client.get(JOURNAL, day).content.decode()


@pytest.mark.engine_independent
def test_an_entry_shows_amount_customer_and_the_tax_of_its_lines(
    closed: None, admin_client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    parcel = JournalEntry.objects.get(source_type="shipment")
    with django_assert_max_num_queries(6):
        page = admin_client.get(
            reverse("admin:ledger_journalentry_change", args=[parcel.pk])
        ).content.decode()
    for shown in (
        parcel.voucher,
        "¥12,130",
        "山田 花子",
        "課税売上10%",
        "課税売上軽減8%",
        "¥958",
        "¥50",
        "¥76",
    ):
        assert shown in page
    for label in ("伝票番号", "計上日", "取引先", "税区分", "税率", "税額"):
        assert label in page


@pytest.mark.engine_independent
def test_a_reversal_and_its_original_name_each_other(closed: None, admin_client: Client) -> None:
    original = JournalEntry.objects.get(source_type="shipment")
    later = night_after(MONDAY)
    with transaction.atomic():
        reversal = journal.reverse(original, occurred_at=later, now=later)
    for entry, other in ((original, reversal), (reversal, original)):
        page = admin_client.get(reverse("admin:ledger_journalentry_change", args=[entry.pk])).content.decode()
        assert f'href="{reverse("admin:ledger_journalentry_change", args=[other.pk])}"' in page
        assert other.voucher in page


@pytest.mark.engine_independent
def test_the_page_of_a_close_names_the_first_and_the_last_voucher_of_its_day(
    closed: None, admin_client: Client
) -> None:
    entries = list(JournalEntry.objects.filter(day=MONDAY).order_by("pk"))
    page = admin_client.get(reverse("admin:ledger_dailyclose_change", args=[MONDAY])).content.decode()
    assert f"{len(entries)} 件（伝票 {entries[0].voucher}〜{entries[-1].voucher}）" in page


@pytest.mark.engine_independent
def test_an_entry_of_the_first_form_shows_what_it_has(admin_client: Client) -> None:
    old = JournalEntry.objects.create(
        day=MONDAY,
        occurred_at=NOW,
        source_type="refund",
        source_id="7",
        purpose="waiting",
        description="返金待ち",
        order=build.order(),
        created_at=NOW,
    )
    old.lines.create(position=1, account_id="4190", debit=5)
    assert vouchers_found(admin_client, counterparty="山田花子") == {f"2026-{old.pk}"}
    assert vouchers_found(admin_client, q=f"2026-{old.pk}") == {f"2026-{old.pk}"}
    assert vouchers_found(admin_client, amount_from="5") == {f"2026-{old.pk}"}  # of its lines
    assert vouchers_found(admin_client, amount_from="6") == set()
    page = admin_client.get(reverse("admin:ledger_journalentry_change", args=[old.pk])).content.decode()
    assert "山田 花子" in page and "¥5" in page
