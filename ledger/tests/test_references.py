"""Discrepancies and entries lead to everything that belongs to them; their texts are Japanese."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from kikaku.sandbox import Sandbox
from ledger.books.discrepancies import note_discrepancy
from ledger.closing import evidence
from ledger.closing.daily_close import close_day
from ledger.models import BalanceTransaction, Discrepancy, JournalEntry, Order
from ledger.testing import build
from ledger.testing.closing import MONDAY, at, create_foreign_charge, night_after, run_business_day, set_clock
from ledger.testing.tampering import tamper

pytestmark = [pytest.mark.django_db, pytest.mark.engine_independent]


@pytest.fixture
def order(sandbox: Sandbox) -> Order:
    """Return an order that is paid, shipped and partly refunded."""
    sold = run_business_day(sandbox, MONDAY)
    build.fetch(sandbox)
    return sold


def page_of(client: Client, object_id: str) -> str:
    row = note_discrepancy("amount", object_id, day=MONDAY, now=at(MONDAY))
    return client.get(reverse("admin:ledger_discrepancy_change", args=[row.pk])).content.decode()


def address(row: object, name: str) -> str:
    return reverse(f"admin:ledger_{name}_change", args=[row.pk])  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["charge", "payment_intent", "refund", "txn", "number", "refund pk"])
def test_a_discrepancy_leads_to_order_payment_entries_and_stripe(
    order: Order, admin_client: Client, name: str
) -> None:
    payment, refund = order.payments.get(), order.refunds.get()
    txn = BalanceTransaction.objects.get(source=payment.charge)
    object_id = {
        "charge": str(payment.charge),
        "payment_intent": payment.payment_intent,
        "refund": str(refund.stripe_id),
        "txn": txn.pk,
        "number": order.number,
        "refund pk": f"refund {refund.pk}",
    }[name]
    page = page_of(admin_client, object_id)
    assert address(order, "order") in page
    if name != "number":
        assert address(payment, "payment") in page
    if name.startswith("refund"):
        assert address(refund, "refund") in page
    if name in ("charge", "txn"):
        assert address(JournalEntry.objects.get(source_id=txn.pk), "journalentry") in page
    is_of_stripe = name in ("charge", "payment_intent", "refund", "txn")
    assert (f"https://dashboard.stripe.com/test/search?query={object_id}" in page) == is_of_stripe


def test_an_object_that_is_unknown_leads_to_stripe_alone(admin_client: Client) -> None:
    page = page_of(admin_client, "ch_unknown")
    assert "search?query=ch_unknown" in page and "/admin/ledger/order/1" not in page
    assert page_of(admin_client, "<script>alert(1)</script>").count("<script>alert(1)") == 0


def test_the_source_of_an_entry_is_a_link(order: Order, admin_client: Client) -> None:
    for entry in order.entries.all():
        page = admin_client.get(address(entry, "journalentry")).content.decode()
        if entry.source_type == "balance_transaction":
            txn = BalanceTransaction.objects.get(pk=entry.source_id)
            assert address(txn, "balancetransaction") in page and f"search?query={txn.pk}" in page
        else:
            assert address(order, "order") in page
        if entry.source_type == "shipment":
            assert address(order.shipments.get(), "shipment") in page


def test_ids_in_breadcrumbs_stay_as_they_are(order: Order, admin_client: Client) -> None:
    payment = order.payments.get()
    page = admin_client.get(address(payment, "payment")).content.decode()
    assert payment.payment_intent in page
    assert "Pi_" not in page


def test_the_details_of_a_close_are_japanese(sandbox: Sandbox) -> None:
    run_business_day(sandbox, MONDAY)
    create_foreign_charge(sandbox, set_clock(sandbox, at(MONDAY, 18)))
    build.fetch(sandbox)
    txn = BalanceTransaction.objects.filter(type="refund").first() or BalanceTransaction.objects.earliest(
        "pk"
    )
    tamper(f"UPDATE ledger_balancetransaction SET fee = fee + 1 WHERE id = '{txn.pk}'")
    tamper("UPDATE ledger_journalline SET account_id = '1160' WHERE account_id = '6110' AND debit = 437")
    result = close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    details = [row["detail"] for row in result.report["discrepancies"]]
    assert {row["kind"] for row in result.report["discrepancies"]} >= {
        Discrepancy.Kind.AMOUNT,
        Discrepancy.Kind.MISSING_IN_BOOKS,
        Discrepancy.Kind.INVARIANT,
    }
    for detail in details:
        assert re.search(r"[ぁ-んァ-ヶ一-龠]", detail), detail
        assert not re.search(r"\b(is|has|not|says|expected|found)\b", detail), detail
    page = evidence.read(f"{result.folder}/report.html").decode()
    assert details[0].split("（")[0] in page
