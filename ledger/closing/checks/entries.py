"""Checks of the journal's entries and of the balance transactions behind them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from kikaku.days import business_day
from ledger.books import accounts, posting
from ledger.books.trial_balance import AccountBalance
from ledger.closing.findings import Check, Finding
from ledger.models import BalanceTransaction, JournalEntry, JournalLine


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
    """Check that each entry has two lines or more, and equal sides."""
    wrong = (
        entries.annotate(
            debit=Coalesce(Sum("lines__debit"), 0),
            credit=Coalesce(Sum("lines__credit"), 0),
            count=Count("lines"),
        )
        .exclude(debit=F("credit"), count__gte=2)
        .order_by("pk")
    )
    for entry in wrong:
        yield Finding(
            Check.ENTRY_BALANCED,
            "JournalEntry",
            f"{entry.pk} ({entry.source_type} {entry.source_id} {entry.purpose})",
            "two lines or more, debit = credit",
            f"{entry.count} lines, debit {entry.debit}, credit {entry.credit}",
        )


def transaction_entries(entries: QuerySet[JournalEntry]) -> Iterator[Finding]:
    """Check that the entry of a balance transaction has its net, its fee and its fee tax.

    Only such entries move account 1150 and those of Stripe's other balances.
    """
    of_stripe = entries.filter(source_type=posting.BALANCE_TRANSACTION_SOURCE)
    is_of_stripe = Q(entry__source_type=posting.BALANCE_TRANSACTION_SOURCE)
    posted: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for entry_id, source, source_id, account, debit, credit in (
        JournalLine.objects.filter(
            is_of_stripe | Q(account_id__in=accounts.STRIPE_BALANCES), entry__in=entries
        )
        .values_list("entry_id", "entry__source_type", "entry__source_id", "account_id")
        .annotate(debits=Sum("debit"), credits=Sum("credit"))
        .order_by("entry_id")
        .values_list("entry_id", "entry__source_type", "entry__source_id", "account_id", "debits", "credits")
    ):
        if source == posting.BALANCE_TRANSACTION_SOURCE:
            posted[source_id][account] = posted[source_id].get(account, 0) + debit - credit
        else:
            name = str(entry_id)
            yield Finding(Check.STRIPE_BALANCE_SOURCE, "JournalEntry", name, "balance_transaction", source)
    for txn_id, amount, fee, fee_tax, fee_taxed, net, other_balance in (
        BalanceTransaction.objects.filter(pk__in=of_stripe.values("source_id"))
        .order_by("pk")
        .values_list("pk", "amount", "fee", "fee_tax", "fee_taxed", "net", "other_balance")
    ):
        lines = posted.pop(txn_id, {})
        is_taxed = bool(fee_tax) if fee_taxed is None else fee_taxed
        fee_account, other = accounts.FEES_EXEMPT, accounts.FEES_TAXABLE
        if is_taxed:
            fee_account, other = other, fee_account
        balance = accounts.stripe_balance_account(other_balance)
        found = tuple(lines.get(code, 0) for code in (balance, fee_account, other, accounts.INPUT_TAX))
        expected = (net, fee - fee_tax, 0, fee_tax)
        elsewhere = sorted((accounts.STRIPE_BALANCES - {balance}) & lines.keys())
        if net != amount - fee:
            yield Finding(Check.TRANSACTION_NET, "BalanceTransaction", txn_id, str(amount - fee), str(net))
        if found != expected or elsewhere:
            yield Finding(
                Check.TRANSACTION_ENTRY,
                "BalanceTransaction",
                txn_id,
                _fee_text(balance, fee_account, other, *expected),
                ", ".join([_fee_text(balance, fee_account, other, *found), *elsewhere])
                if lines
                else "no entry",
            )
    for source_id in posted:
        yield Finding(
            Check.TRANSACTION_ENTRY, "JournalEntry", source_id, "a stored balance transaction", "none"
        )


def _fee_text(
    balance: str, fee_account: str, other: str, net: int, fee: int, other_fee: int, fee_tax: int
) -> str:
    wrong = f", {other} {other_fee}" if other_fee else ""
    return f"{balance} {net}, {fee_account} {fee}{wrong}, 1410 {fee_tax}"


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
    for pk, day, occurred_at in entries.order_by().values_list("pk", "day", "occurred_at"):
        if day < business_day(occurred_at):
            yield Finding(
                Check.ENTRY_DAY, "JournalEntry", str(pk), f"{business_day(occurred_at)} or later", str(day)
            )
