"""Facts become entries: the worked order to the yen, and what must hold for any."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kikaku.money import REDUCED, STANDARD
from ledger.books import journal, posting
from ledger.books.posting import BalanceChange, Line, RefundPart, Subject
from ledger.books.tax import tax_of, totals
from ledger.books.tax_buckets import (
    ReturnedSale,
    SoldPortion,
    TaxBucket,
    recognise,
    refund_recognised,
    take,
)
from ledger.models import JournalEntry

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
RATES = {STANDARD: 10, REDUCED: 8}
ORDER = totals([(11_000, STANDARD), (1_080, REDUCED)], discount=500, shipping_fee=550, rates=RATES)
K1 = Subject("K1", 1, "小林 花子")


def change(
    amount: int, exempt: int = 0, taxable: int = 0, fee_tax: int = 0, *, rate: int | None = 10
) -> BalanceChange:
    """Return a change of Stripe's balance."""
    return BalanceChange(
        id="txn_1",
        amount=amount,
        fee_exempt=exempt,
        fee_taxable=taxable,
        fee_tax=fee_tax,
        occurred_at=NOW,
        fee_rate=rate,
    )


def sides(lines: Iterable[Line]) -> tuple[dict[str, int], dict[str, int]]:
    """Return the debits and the credits of an entry by account."""
    debits: dict[str, int] = {}
    credits: dict[str, int] = {}
    for line in lines:
        side, amount = (debits, line.debit) if line.debit else (credits, line.credit)
        side[line.account] = side.get(line.account, 0) + amount
    return debits, credits


def taxes(lines: Iterable[Line]) -> dict[str, int | None]:
    """Return the tax beside the lines by account, where there is any."""
    return {line.account: line.tax for line in lines if line.tax}


def shipped(rates: Mapping[str, int | None] = RATES) -> tuple[dict[str, TaxBucket], posting.Draft]:
    """Return the buckets and the draft after the worked order was shipped completely."""
    buckets, sales = {}, []
    for tax_class, goods, shipping in ((STANDARD, 10_545, 550), (REDUCED, 1_035, 0)):
        buckets[tax_class], sale = recognise(
            TaxBucket(tax_class, ORDER.gross_by_class[tax_class]),
            goods=goods,
            shipping=shipping,
            is_last=True,
            rate=rates[tax_class],
        )
        sales.append(sale)
    return buckets, posting.shipment("1", occurred_at=NOW, subject=K1, sales=sales)


def refunded(
    buckets: dict[str, TaxBucket], amounts: dict[str, int], *, is_exempt: bool = False
) -> tuple[dict[str, TaxBucket], posting.Draft]:
    """Return the buckets and the draft after a refund of these amounts by class, after shipment."""
    parts = []
    for tax_class, amount in amounts.items():
        buckets[tax_class], returned = refund_recognised(buckets[tax_class], amount, is_exempt=is_exempt)
        parts.append(RefundPart(tax_class, returned=tuple(returned)))
    return buckets, posting.refund(change(-sum(amounts.values())), K1, parts)


def test_a_visa_payment_is_posted_net_with_its_gross_amount_and_its_customer() -> None:
    draft = posting.capture(change(12_130, 437), K1)
    assert draft.lines == (
        Line("1150", debit=11_693),
        Line("6110", debit=437, tax_class="exempt_purchase"),
        Line("2130", credit=12_130),
    )
    assert (draft.amount, draft.counterparty, draft.order_id) == (12_130, "小林 花子", 1)


def test_a_jcb_fee_is_split_by_the_tax_in_its_details() -> None:
    draft = posting.capture(change(12_130, 0, 437, 44), K1)
    assert sides(draft.lines) == (
        {"1150": 11_649, "6111": 437, "1410": 44},
        {"2130": 12_130},
    )
    assert taxes(draft.lines) == {"6111": 44}


def test_the_tax_of_a_fee_belongs_to_its_taxable_part_alone() -> None:
    draft = posting.capture(change(50_000, 1_460, 500, 50), K1)  # a fee of 2,010
    assert sides(draft.lines) == (
        {"1150": 47_990, "6110": 1_460, "6111": 500, "1410": 50},
        {"2130": 50_000},
    )
    assert taxes(draft.lines) == {"6111": 50}


def test_a_fee_of_an_exempt_merchant_is_an_expense_with_its_tax() -> None:
    draft = posting.capture(change(12_130, 0, 437, 44, rate=None), K1)
    assert sides(draft.lines) == ({"1150": 11_649, "6111": 481}, {"2130": 12_130})
    assert taxes(draft.lines) == {}


def test_the_shipped_worked_order_is_recognised_per_class_with_the_tax_of_each_line() -> None:
    _buckets, draft = shipped()
    assert sides(draft.lines) == (
        {"2130": 12_130},
        {"4110": 9_587, "4120": 500, "2150": 1_008, "4111": 959, "2151": 76},
    )
    assert taxes(draft.lines) == {"4110": 958, "4120": 50, "4111": 76}
    gross = {line.account: line.credit + (line.tax or 0) for line in draft.lines if line.tax}
    assert gross == {"4110": 10_545, "4120": 550, "4111": 1_035}


def test_an_exempt_merchant_sells_gross() -> None:
    buckets, draft = shipped({STANDARD: None, REDUCED: None})
    assert sides(draft.lines) == ({"2130": 12_130}, {"4110": 10_545, "4120": 550, "4111": 1_035})
    assert {line.tax_class for line in draft.lines} == {"outside"}
    _buckets, refund = refunded(buckets, {STANDARD: 11_095, REDUCED: 1_035})  # after the registration
    assert sides(refund.lines) == ({"4190": 11_095, "4191": 1_035}, {"1150": 12_130})


def test_a_return_while_the_merchant_is_exempt_reverses_no_tax() -> None:
    buckets, _draft = shipped()
    buckets, first = refunded(buckets, {STANDARD: 3_000}, is_exempt=True)
    assert sides(first.lines) == ({"4190": 3_000}, {"1150": 3_000})
    buckets, second = refunded(buckets, {STANDARD: 8_095})  # taxable again
    assert sides(second.lines) == ({"4190": 7_360, "2150": 735}, {"1150": 8_095})
    assert buckets[STANDARD].tax_reversed == 735 < buckets[STANDARD].tax


def test_a_refund_before_shipment_has_no_tax() -> None:
    draft = posting.refund(change(-3_000), K1, [RefundPart(STANDARD, prepaid=3_000)])
    assert draft.lines == (Line("2130", debit=3_000), Line("1150", credit=3_000))
    assert draft.amount == 3_000


def test_a_full_refund_after_shipment_reverses_everything() -> None:
    buckets, _draft = shipped()
    _buckets, draft = refunded(buckets, {STANDARD: 11_095, REDUCED: 1_035})
    assert sides(draft.lines) == (
        {"4190": 10_087, "2150": 1_008, "4191": 959, "2151": 76},
        {"1150": 12_130},
    )
    assert taxes(draft.lines) == {"4190": 1_008, "4191": 76}


def test_a_partial_refund_and_the_remaining_yen_end_at_zero() -> None:
    buckets, _draft = shipped()
    buckets, first = refunded(buckets, {STANDARD: 3_000})
    assert sides(first.lines) == ({"4190": 2_728, "2150": 272}, {"1150": 3_000})
    buckets, second = refunded(buckets, {STANDARD: 8_095})
    assert sides(second.lines) == ({"4190": 7_359, "2150": 736}, {"1150": 8_095})
    assert buckets[STANDARD].tax_reversed == buckets[STANDARD].tax == 1_008


def test_what_was_sold_at_two_rates_is_returned_at_those_of_its_pieces_or_of_what_is_left() -> None:
    bucket, _sale = recognise(TaxBucket(STANDARD, 2_200), goods=1_100, shipping=0, is_last=False, rate=10)
    bucket, _sale = recognise(bucket, goods=1_100, shipping=0, is_last=True, rate=12)
    assert [(portion.rate, portion.gross, portion.tax) for portion in bucket.sold] == [
        (10, 1_100, 100),
        (12, 1_100, 117),
    ]
    _bucket, returned = refund_recognised(bucket, 1_100)  # an amount
    assert [(sale.rate, sale.gross, sale.tax) for sale in returned] == [(10, 550, 50), (12, 550, 58)]
    bucket, returned = refund_recognised(bucket, 1_500, wanted={10: 1_100, 12: 400})
    assert [(sale.rate, sale.gross, sale.tax) for sale in returned] == [(10, 1_100, 100), (12, 400, 42)]
    _buckets, draft = refunded({STANDARD: bucket}, {STANDARD: 700})
    assert [(line.account, line.tax_rate) for line in draft.lines] == [
        ("4190", 12),
        ("2150", 12),
        ("1150", None),
    ]


def test_a_refund_that_failed_after_money_moved_is_owed() -> None:
    draft = posting.refund_failure(change(3_000), K1)
    assert draft.lines == (Line("1150", debit=3_000), Line("2120", credit=3_000))


@pytest.mark.parametrize("purpose", [posting.WAITING_PURPOSE, posting.FAILED_PURPOSE])
def test_a_refund_that_waits_or_failed_before_money_moved_is_owed_without_touching_1150(purpose: str) -> None:
    returned = (ReturnedSale(STANDARD, 10, is_taxed=True, gross=3_000, tax=272),)
    parts = [RefundPart(STANDARD, prepaid=1_000, returned=returned)]
    draft = posting.unpaid_refund("7", purpose, occurred_at=NOW, subject=K1, parts=parts)
    assert sides(draft.lines) == ({"2130": 1_000, "4190": 2_728, "2150": 272}, {"2120": 4_000})


def test_what_is_owed_is_paid_out_of_refunds_payable() -> None:
    draft = posting.refund(change(-3_000), K1, [RefundPart("", payable=3_000)])
    assert draft.lines == (Line("2120", debit=3_000), Line("1150", credit=3_000))


def test_an_unknown_change_goes_to_suspense_with_a_separate_fee() -> None:
    draft = posting.suspense(change(-1_000, 15), Subject("adjustment"))
    assert sides(draft.lines) == ({"9990": 1_000, "6110": 15}, {"1150": 1_015})
    assert (draft.counterparty, draft.amount) == ("Stripe", 1_000)


def test_a_returned_fee_is_a_negative_expense() -> None:
    draft = posting.suspense(change(0, -15), Subject("adjustment"))
    assert sides(draft.lines) == ({"1150": 15}, {"6110": 15})
    assert draft.amount == 15


def test_lines_of_zero_are_omitted() -> None:
    assert [line.account for line in posting.capture(change(100), K1).lines] == ["1150", "2130"]


def test_a_yen_of_tax_on_a_net_amount_of_zero_stays_with_the_line_that_posts_it() -> None:
    bucket = TaxBucket(STANDARD, 11, sold=(SoldPortion(10, gross=10),))
    _bucket, sale = recognise(bucket, goods=1, shipping=0, is_last=True, rate=10)
    draft = posting.shipment("1", occurred_at=NOW, subject=K1, sales=[sale])
    assert sides(draft.lines) == ({"2130": 1}, {"2150": 1})
    assert taxes(draft.lines) == {"2150": 1}
    journal.require_balanced(draft)


def test_a_correction_of_tax_alone_balances_its_tax() -> None:
    draft = posting.tax_correction("7", occurred_at=NOW, subject=K1, differences=[(STANDARD, 10, 1)])
    assert sides(draft.lines) == ({"2150": 1}, {"4190": 1})
    assert taxes(draft.lines) == {"4190": -1}
    journal.require_balanced(draft)


def test_a_reversal_exchanges_the_sides_and_keeps_the_tax_of_each_line() -> None:
    entry = JournalEntry(id=3, description="出荷 K1", order_id=1, amount=12_130, counterparty="小林 花子")
    draft = posting.reversal(entry, shipped()[1].lines, occurred_at=NOW)
    assert sides(draft.lines)[1] == {"2130": 12_130}
    assert taxes(draft.lines) == {"4110": 958, "4120": 50, "4111": 76}
    assert (draft.source_type, draft.source_id, draft.purpose) == ("entry", "3", "reversal")
    assert (draft.amount, draft.counterparty) == (12_130, "小林 花子")
    journal.require_balanced(draft)


def test_an_entry_whose_lines_do_not_tell_the_tax_that_is_posted_is_refused() -> None:
    draft = shipped()[1]
    told = tuple(replace(line, tax=957) if line.account == "4110" else line for line in draft.lines)
    with pytest.raises(journal.Unbalanced, match="tax"):
        journal.require_balanced(replace(draft, lines=told))


def test_the_tax_of_the_shipping_fee_is_rounded_down_and_the_goods_carry_the_rest() -> None:
    # 11 of goods and 10 of shipping: the bucket has tax 1, shipping alone none
    _bucket, sale = recognise(TaxBucket(STANDARD, 21), goods=11, shipping=10, is_last=True, rate=10)
    assert (sale.goods, sale.shipping, sale.tax) == (10, 10, 1)


def test_what_is_not_recognised_cannot_be_reversed() -> None:
    with pytest.raises(ValueError, match="exceeds"):
        refund_recognised(TaxBucket(STANDARD, 100, sold=(SoldPortion(10, 50, 4),)), 51)


def test_a_refund_takes_from_each_side_at_most_what_it_has() -> None:
    bucket = TaxBucket(STANDARD, 1_000, sold=(SoldPortion(10, 600, 54),))
    assert take(bucket, prepaid=500, recognised=0)[1:] == (400, 0)
    assert take(bucket, prepaid=0, recognised=700)[1:] == (0, 600)
    assert take(bucket, prepaid=900, recognised=900)[1:] == (400, 600)


MONEY = st.integers(1, 5_000_000)


@given(
    MONEY,
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 1_000_000), st.sampled_from([10, 10, 8, 12, 0, None])),
        max_size=12,
    ),
    st.sampled_from(["down", "down", "nearest", "up"]),
)
def test_shipments_and_refunds_in_any_order_keep_the_tax_of_a_bucket_within_bounds_and_end_at_zero(
    gross: int, steps: list[tuple[bool, int, int | None]], rounding: str
) -> None:
    bucket = TaxBucket(STANDARD, gross, rounding=rounding)
    exempt = False
    for ships, amount, rate in steps:
        if ships:
            bucket, sale = recognise(bucket, goods=amount, shipping=0, is_last=False, rate=rate)
            assert min(sale.goods, sale.tax) >= 0
        else:
            before = min(amount, bucket.prepaid_left)
            bucket, _before, after = take(bucket, prepaid=before, recognised=0)
            assert after == 0
            exempt = exempt or rate is None
            rest = min(amount - before, bucket.recognised_left)
            bucket, returned = refund_recognised(bucket, rest, is_exempt=rate is None)
            assert all(0 <= sale.tax <= sale.gross for sale in returned)
        for portion in bucket.sold:
            assert 0 <= portion.tax_reversed <= portion.tax == tax_of(portion.gross, portion.rate, rounding)
            assert 0 <= portion.refunded_taxed <= portion.refunded <= portion.gross
        assert bucket.prepaid_left >= 0
    bucket, _sale = recognise(bucket, goods=0, shipping=0, is_last=True, rate=10)
    assert bucket.prepaid_left == 0
    bucket, _returned = refund_recognised(bucket, bucket.recognised_left)
    assert exempt or bucket.tax_reversed == bucket.tax


@given(
    st.integers(-1_000_000, 1_000_000),
    st.integers(0, 50_000),
    st.booleans(),
    st.sampled_from(["capture", "failure", "suspense", "unknown"]),
)
def test_every_draft_of_a_transaction_balances_and_moves_1150_by_its_net(
    amount: int, fee: int, taxable: bool, kind: str
) -> None:
    tax = fee // 11 if taxable else 0
    fact = change(amount, 0, fee - tax, tax) if taxable else change(amount, fee)
    draft = {
        "capture": lambda: posting.capture(fact, K1),
        "failure": lambda: posting.refund_failure(fact, K1),
        "suspense": lambda: posting.suspense(fact, K1),
        "unknown": lambda: posting.unknown_refund(fact, Subject("re_1")),
    }[kind]()
    if amount or fee:
        journal.require_balanced(draft)
    assert sum(line.debit - line.credit for line in draft.lines if line.account == "1150") == amount - fee
