"""Entries of the worked order on any day, closed days with their balances, and rules of a fiscal year."""

import secrets
from collections.abc import Iterable
from datetime import date, datetime

from kikaku.money import REDUCED, STANDARD
from kikaku.transactions import unit_of_work
from ledger.books import journal, posting
from ledger.books.posting import BalanceChange, Draft, RefundPart, Subject
from ledger.books.tax_buckets import RecognisedSale, ReturnedSale
from ledger.books.tax_rules import TaxRules
from ledger.books.trial_balance import account_balances
from ledger.models import ClosingBalance, DailyClose, JournalEntry, TaxStatus
from ledger.testing.closing import at

SUBJECT = Subject("K20261116-ABCDE", counterparty="山田 花子")


def rules_with(*statuses: tuple[date, int], accounting: str = TaxStatus.Accounting.NET) -> TaxRules:
    """Return the rules of a registered merchant, with the last month of the fiscal year from a day on."""
    return TaxRules(
        tuple(
            TaxStatus(
                from_day=day,
                fiscal_year_end=month,
                liability=TaxStatus.Liability.REGISTERED,
                accounting=accounting,
            )
            for day, month in statuses
        ),
        (),
    )


@unit_of_work
def post(draft: Draft) -> JournalEntry:
    """Write an entry on the day of its fact."""
    return journal.post(draft, now=draft.occurred_at)


def _change(day: date, amount: int, *, taxable: int = 0, tax: int = 0) -> BalanceChange:
    return BalanceChange(
        id=f"txn_{secrets.token_hex(6)}",
        amount=amount,
        fee_exempt=0,
        fee_taxable=taxable,
        fee_tax=tax,
        occurred_at=at(day),
        fee_rate=10,
    )


def post_capture(day: date) -> JournalEntry:
    """Post the payment of ¥12,130 by JCB: 1150 11,649; 6111 437; 1410 44 / 2130 12,130."""
    return post(posting.capture(_change(day, 12_130, taxable=437, tax=44), SUBJECT))


def post_shipment(day: date) -> JournalEntry:
    """Post the parcel: 2130 12,130 / 4110 9,587; 4120 500; 4111 959; 2150 1,008; 2151 76."""
    return post(
        posting.shipment(
            secrets.token_hex(6),
            occurred_at=at(day, 15),
            subject=SUBJECT,
            sales=[
                RecognisedSale(STANDARD, 10, goods=9_587, shipping=500, tax=1_008, shipping_tax=50),
                RecognisedSale(REDUCED, 8, goods=959, shipping=0, tax=76),
            ],
        )
    )


def post_return(day: date, gross: int = 3_000, tax: int = 272) -> JournalEntry:
    """Post a refund after the shipment: 4190 2,728; 2150 272 / 1150 3,000."""
    part = RefundPart(STANDARD, returned=(ReturnedSale(STANDARD, 10, True, gross, tax),))
    return post(posting.refund(_change(day, -gross), SUBJECT, [part]))


def carry_balances(days: Iterable[date]) -> None:
    """Close days as the daily close does, without comparing them with Stripe."""
    for day in sorted(days):
        close = DailyClose.objects.create(
            day=day, run=1, stripe_balance=0, book_balance=0, differences=0, closed_at=_night(day)
        )
        ClosingBalance.objects.bulk_create(
            ClosingBalance(close=close, account_id=code, debit=balance.debit, credit=balance.credit)
            for code, balance in account_balances(day).items()
        )


def _night(day: date) -> datetime:
    return at(day, 23, 59)
