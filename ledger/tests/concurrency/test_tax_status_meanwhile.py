"""A tax status that is entered while an entry is posted: no entry follows rules that have changed."""

import threading

import pytest

from kikaku.transactions import unit_of_work
from ledger.books import journal, posting
from ledger.books.posting import Subject
from ledger.books.tax_buckets import RecognisedSale
from ledger.books.tax_rules import load_tax_rules
from ledger.models import JournalEntry, TaxStatus
from ledger.testing import company
from ledger.testing.closing import MONDAY, at
from ledger.testing.threads import run_in_threads

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_status_is_refused_when_a_posting_has_read_the_rules_before() -> None:
    has_read, is_entered = threading.Event(), threading.Event()

    @unit_of_work
    def post() -> None:
        rules = load_tax_rules()
        has_read.set()
        is_entered.wait(0.5)  # in vain where the status waits for this transaction
        tax = 0 if rules.status_on(MONDAY).is_exempt else 100
        sale = RecognisedSale("standard", 10 if tax else None, 1_100 - tax, 0, tax)
        draft = posting.shipment("1", occurred_at=at(MONDAY), subject=Subject("K1"), sales=[sale])
        journal.post(draft, now=at(MONDAY), rules=rules)

    def enter() -> None:
        has_read.wait()
        try:
            company.enter(from_day=MONDAY, **company.EXEMPT)
        finally:
            is_entered.set()

    run_in_threads(post, enter)
    entry = JournalEntry.objects.get()
    is_exempt = load_tax_rules().status_on(MONDAY).is_exempt
    assert entry.lines.filter(account="2150").exists() != is_exempt
    assert TaxStatus.objects.count() == (2 if is_exempt else 1)
