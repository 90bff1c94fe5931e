"""Checks of the journal's entries and of the balance transactions behind them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from kikaku.days import business_day
from ledger.books import accounts, posting
from ledger.books.tax_rules import TaxRules
from ledger.books.trial_balance import AccountBalance
from ledger.closing.findings import Check, Finding
from ledger.models import BalanceTransaction, JournalEntry, JournalLine
from ledger.models.books import LineTaxClass, voucher_number

OF_ENTRY = (
    "entry_id",
    "entry__day",
    "entry__fiscal_year",
    "entry__form",
    "entry__source_type",
    "entry__source_id",
)
FEE_ACCOUNTS = (accounts.FEES_EXEMPT, accounts.FEES_TAXABLE, accounts.INPUT_TAX)


def trial_balance(balances: Mapping[str, AccountBalance] | None) -> Iterator[Finding]:
    """Check that debits equal credits: of the accounts' balances on a day, or (None) over every line."""
    if balances is None:
        sums = JournalLine.objects.aggregate(
            debit=Coalesce(Sum("debit"), 0), credit=Coalesce(Sum("credit"), 0)
        )
        debit, credit = sums["debit"], sums["credit"]
    else:
        debit = sum(balance.debit for balance in balances.values())
        credit = sum(balance.credit for balance in balances.values())
    if debit != credit:
        yield Finding(Check.TRIAL_BALANCE, "JournalLine", "all", f"debit {credit}", f"debit {debit}")


def unbalanced_entries(entries: QuerySet[JournalEntry]) -> Iterator[Finding]:
    """Check that each entry has two lines or more and equal sides, and that the tax beside them is posted."""
    is_tax = Q(lines__tax_class=LineTaxClass.TAX)
    wrong = (
        entries.annotate(
            debit=Coalesce(Sum("lines__debit"), 0),
            credit=Coalesce(Sum("lines__credit"), 0),
            count=Count("lines"),
            tax_posted=Coalesce(Sum(F("lines__debit") - F("lines__credit"), filter=is_tax), 0),
            tax_beside=Coalesce(Sum("lines__tax", filter=Q(lines__debit__gt=0)), 0)
            - Coalesce(Sum("lines__tax", filter=Q(lines__credit__gt=0)), 0),
        )
        .exclude(debit=F("credit"), count__gte=2, tax_posted=F("tax_beside"))
        .order_by("pk")
    )
    for entry in wrong:
        if entry.debit == entry.credit and entry.count >= 2:
            yield Finding(
                Check.LINE_TAX,
                "JournalEntry",
                f"{entry.voucher} ({entry.source_type} {entry.source_id} {entry.purpose})",
                f"{entry.tax_posted} beside the lines",
                f"{entry.tax_beside}",
            )
            continue
        yield Finding(
            Check.ENTRY_BALANCED,
            "JournalEntry",
            f"{entry.voucher} ({entry.source_type} {entry.source_id} {entry.purpose})",
            "two lines or more, debit = credit",
            f"{entry.count} lines, debit {entry.debit}, credit {entry.credit}",
        )


def balance_transactions(entries: QuerySet[JournalEntry]) -> QuerySet[BalanceTransaction]:
    """Return the balance transactions behind entries."""
    of_stripe = entries.filter(source_type=posting.BALANCE_TRANSACTION_SOURCE)
    return BalanceTransaction.objects.filter(pk__in=of_stripe.values("source_id")).order_by("pk")


def transaction_entries(
    entries: QuerySet[JournalEntry], rules: TaxRules, transactions: Iterable[BalanceTransaction]
) -> Iterator[Finding]:
    """Check that the entry of a balance transaction has its net, its fee and its fee tax.

    Only such entries move account 1150 and those of Stripe's other balances. `transactions` are those behind
    the entries.
    """
    is_of_stripe = Q(entry__source_type=posting.BALANCE_TRANSACTION_SOURCE)
    posted: defaultdict[str, dict[str, int]] = defaultdict(dict)
    forms: dict[str, int | None] = {}  # None: 1
    for entry_id, day, year, form, source, source_id, account, debit, credit in (
        JournalLine.objects.filter(
            is_of_stripe | Q(account_id__in=accounts.STRIPE_BALANCES), entry__in=entries
        )
        .values_list(*OF_ENTRY, "account_id")
        .annotate(debits=Sum("debit"), credits=Sum("credit"))
        .order_by("entry_id")
        .values_list(*OF_ENTRY, "account_id", "debits", "credits")
    ):
        if source == posting.BALANCE_TRANSACTION_SOURCE:
            forms[source_id] = form
            posted[source_id][account] = posted[source_id].get(account, 0) + debit - credit
        else:
            name = voucher_number(entry_id, year, day)
            yield Finding(Check.STRIPE_BALANCE_SOURCE, "JournalEntry", name, "balance_transaction", source)
    for txn in transactions:
        lines = posted.pop(txn.pk, {})
        balance = accounts.stripe_balance_account(txn.other_balance)
        found = tuple(lines.get(code, 0) for code in (balance, *FEE_ACCOUNTS))
        exempt, taxable, tax = txn.fee_parts
        if forms.get(txn.pk) is not None and rules.status_on(txn.day).is_exempt:
            taxable, tax = taxable + tax, 0
        expected = (txn.net, exempt, taxable, tax)
        elsewhere = sorted((accounts.STRIPE_BALANCES - {balance}) & lines.keys())
        if txn.net != txn.amount - txn.fee:
            yield Finding(
                Check.TRANSACTION_NET,
                "BalanceTransaction",
                txn.pk,
                str(txn.amount - txn.fee),
                str(txn.net),
            )
        if found != expected or elsewhere:
            yield Finding(
                Check.TRANSACTION_ENTRY,
                "BalanceTransaction",
                txn.pk,
                _fee_text(balance, *expected),
                ", ".join([_fee_text(balance, *found), *elsewhere]) if lines else "no entry",
            )
    for source_id in posted:
        yield Finding(
            Check.TRANSACTION_ENTRY, "JournalEntry", source_id, "a stored balance transaction", "none"
        )


def _fee_text(balance: str, net: int, *fee_parts: int) -> str:
    """Write the balance's account and those of the fee that have an amount."""
    fee = [f"{account} {part}" for account, part in zip(FEE_ACCOUNTS, fee_parts, strict=True) if part]
    return ", ".join([f"{balance} {net}", *fee])


def unposted_transactions(transactions: QuerySet[BalanceTransaction]) -> Iterator[Finding]:
    """Check that each balance transaction that moved money has its entry."""
    entries = JournalEntry.objects.filter(
        source_type=posting.BALANCE_TRANSACTION_SOURCE, source_id=OuterRef("pk")
    )
    unposted = transactions.exclude(amount=0, fee=0).exclude(Exists(entries))
    for txn in unposted.order_by("created", "pk"):
        yield Finding(
            Check.TRANSACTION_ENTRY,
            "BalanceTransaction",
            txn.pk,
            f"{accounts.stripe_balance_account(txn.other_balance)} {txn.net}, "
            f"fee {txn.fee - txn.fee_tax}, fee tax {txn.fee_tax}",
            "no entry",
        )


def entry_days(entries: QuerySet[JournalEntry]) -> Iterator[Finding]:
    """Check that each entry is dated on the business day of its fact, or later when it came late."""
    for pk, year, day, occurred_at in entries.order_by().values_list(
        "pk", "fiscal_year", "day", "occurred_at"
    ):
        if day < business_day(occurred_at):
            name = voucher_number(pk, year, day)
            yield Finding(
                Check.ENTRY_DAY, "JournalEntry", name, f"{business_day(occurred_at)} or later", str(day)
            )
