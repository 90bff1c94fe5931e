"""Facts become entries: the worked order to the yen, and what must hold for any."""

from collections.abc import Iterable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.books import journal, posting
from ledger.books.posting import BalanceChange, Line, RefundPart
from ledger.books.tax import tax_of, totals
from ledger.books.tax_buckets import TaxBucket, recognise, refund_recognised, take

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
ORDER = totals([(11_000, 10), (1_080, 8)], discount=500, shipping_fee=550)


def change(amount: int, fee: int = 0, fee_tax: int = 0) -> BalanceChange:
    """Return a change of Stripe's balance."""
    return BalanceChange(
        id="txn_1", amount=amount, fee=fee, fee_tax=fee_tax, is_fee_taxed=bool(fee_tax), occurred_at=NOW
    )


def sides(lines: Iterable[Line]) -> tuple[dict[str, int], dict[str, int]]:
    """Return the debits and the credits of an entry by account."""
    debits: dict[str, int] = {}
    credits: dict[str, int] = {}
    for line in lines:
        side, amount = (debits, line.debit) if line.debit else (credits, line.credit)
        side[line.account] = side.get(line.account, 0) + amount
    return debits, credits


def shipped() -> tuple[dict[int, TaxBucket], posting.Draft]:
    """Return the buckets and the draft after the worked order was shipped completely."""
    buckets, sales = {}, []
    for rate, goods, shipping in ((10, 10_545, 550), (8, 1_035, 0)):
        buckets[rate], sale = recognise(
            TaxBucket(rate=rate, gross=ORDER.gross_by_rate[rate]),
            goods=goods,
            shipping=shipping,
            is_last=True,
        )
        sales.append(sale)
    return buckets, posting.shipment("1", occurred_at=NOW, order_id=1, reference="K1", sales=sales)


def refunded(
    buckets: dict[int, TaxBucket], amounts: dict[int, int]
) -> tuple[dict[int, TaxBucket], posting.Draft]:
    """Return the buckets and the draft after a refund of these amounts by rate, after shipment."""
    parts = []
    for rate, amount in amounts.items():
        buckets[rate], tax = refund_recognised(buckets[rate], amount)
        parts.append(RefundPart(rate=rate, recognised=amount, tax=tax))
    draft = posting.refund(change(-sum(amounts.values())), order_id=1, reference="K1", parts=parts)
    return buckets, draft


def test_a_visa_payment_is_a_prepayment_and_its_fee_is_exempt() -> None:
    draft = posting.capture(change(12_130, 437), order_id=1, reference="K1")
    assert draft.lines == (
        Line("1150", debit=12_130),
        Line("2130", credit=12_130),
        Line("6110", debit=437),
        Line("1150", credit=437),
    )


def test_a_jcb_fee_is_split_by_the_tax_in_its_details() -> None:
    draft = posting.capture(change(12_130, 481, 44), order_id=1, reference="K1")
    assert sides(draft.lines) == (
        {"1150": 12_130, "6111": 437, "1410": 44},
        {"2130": 12_130, "1150": 481},
    )


def test_the_shipped_worked_order_is_recognised_per_rate() -> None:
    _buckets, draft = shipped()
    assert sides(draft.lines) == (
        {"2130": 12_130},
        {"4110": 9_587, "4120": 500, "2150": 1_008, "4111": 959, "2151": 76},
    )


def test_a_refund_before_shipment_has_no_tax() -> None:
    draft = posting.refund(
        change(-3_000), order_id=1, reference="K1", parts=[RefundPart(rate=10, prepaid=3_000)]
    )
    assert draft.lines == (Line("2130", debit=3_000), Line("1150", credit=3_000))


def test_a_full_refund_after_shipment_reverses_everything() -> None:
    buckets, _draft = shipped()
    _buckets, draft = refunded(buckets, {10: 11_095, 8: 1_035})
    assert sides(draft.lines) == (
        {"4190": 10_087, "2150": 1_008, "4191": 959, "2151": 76},
        {"1150": 12_130},
    )


def test_a_partial_refund_and_the_remaining_yen_end_at_zero() -> None:
    buckets, _draft = shipped()
    buckets, first = refunded(buckets, {10: 3_000})
    assert sides(first.lines) == ({"4190": 2_728, "2150": 272}, {"1150": 3_000})
    buckets, second = refunded(buckets, {10: 8_095})
    assert sides(second.lines) == ({"4190": 7_359, "2150": 736}, {"1150": 8_095})
    assert buckets[10].tax_reversed == buckets[10].tax == 1_008


def test_a_refund_that_failed_after_money_moved_is_owed() -> None:
    draft = posting.refund_failure(change(3_000), order_id=1, reference="K1")
    assert draft.lines == (Line("1150", debit=3_000), Line("2120", credit=3_000))


@pytest.mark.parametrize("purpose", [posting.WAITING_PURPOSE, posting.FAILED_PURPOSE])
def test_a_refund_that_waits_or_failed_before_money_moved_is_owed_without_touching_1150(purpose: str) -> None:
    draft = posting.unpaid_refund(
        "7",
        purpose,
        occurred_at=NOW,
        order_id=1,
        reference="K1",
        parts=[RefundPart(rate=10, prepaid=1_000, recognised=3_000, tax=272)],
    )
    assert sides(draft.lines) == ({"2130": 1_000, "4190": 2_728, "2150": 272}, {"2120": 4_000})


def test_what_is_owed_is_paid_out_of_refunds_payable() -> None:
    draft = posting.refund(
        change(-3_000), order_id=1, reference="K1", parts=[RefundPart(rate=None, payable=3_000)]
    )
    assert draft.lines == (Line("2120", debit=3_000), Line("1150", credit=3_000))


def test_an_unknown_change_goes_to_suspense_with_a_separate_fee() -> None:
    draft = posting.suspense(change(-1_000, 15), order_id=None, reference="adjustment")
    assert sides(draft.lines) == ({"9990": 1_000, "6110": 15}, {"1150": 1_015})


def test_a_returned_fee_is_a_negative_expense() -> None:
    draft = posting.suspense(change(0, -15), order_id=None, reference="adjustment")
    assert sides(draft.lines) == ({"1150": 15}, {"6110": 15})


def test_lines_of_zero_are_omitted() -> None:
    assert [line.account for line in posting.capture(change(100), order_id=1, reference="K1").lines] == [
        "1150",
        "2130",
    ]


def test_a_reversal_exchanges_the_sides() -> None:
    lines = (Line("1150", debit=5), Line("2130", credit=5))
    draft = posting.reversal("3", occurred_at=NOW, order_id=1, description="入金 K1", lines=lines)
    assert draft.lines == (Line("1150", credit=5), Line("2130", debit=5))
    assert (draft.source_type, draft.source_id, draft.purpose) == ("entry", "3", "reversal")


def test_the_tax_of_the_shipping_fee_is_rounded_down_and_the_goods_carry_the_rest() -> None:
    # 11 of goods and 10 of shipping: the bucket has tax 1, shipping alone none
    _bucket, sale = recognise(TaxBucket(rate=10, gross=21), goods=11, shipping=10, is_last=True)
    assert (sale.goods, sale.shipping, sale.tax) == (10, 10, 1)


def test_what_is_not_recognised_cannot_be_reversed() -> None:
    with pytest.raises(ValueError, match="exceeds"):
        refund_recognised(TaxBucket(rate=10, gross=100, recognised=50, tax=4), 51)


def test_a_refund_takes_what_one_side_lacks_from_the_other() -> None:
    bucket = TaxBucket(rate=10, gross=1_000, recognised=600, tax=54)
    assert take(bucket, prepaid=500, recognised=0)[1:] == (400, 100)
    assert take(bucket, prepaid=0, recognised=700)[1:] == (100, 600)
    assert take(bucket, prepaid=900, recognised=900)[1:] == (400, 600)


MONEY = st.integers(1, 5_000_000)


@given(
    MONEY,
    st.lists(st.tuples(st.booleans(), st.integers(1, 1_000_000)), max_size=12),
    st.sampled_from([10, 8]),
)
def test_shipments_and_refunds_in_any_order_keep_the_tax_of_a_bucket_within_bounds_and_end_at_zero(
    gross: int, steps: list[tuple[bool, int]], rate: int
) -> None:
    bucket = TaxBucket(rate=rate, gross=gross)
    for ships, amount in steps:
        if ships:
            bucket, sale = recognise(bucket, goods=amount, shipping=0, is_last=False)
            assert min(sale.goods, sale.tax) >= 0
        else:
            before = min(amount, bucket.prepaid_left)
            bucket, _before, after = take(bucket, prepaid=before, recognised=0)
            assert after == 0
            bucket, tax = refund_recognised(bucket, min(amount - before, bucket.recognised_left))
            assert tax >= 0
        assert 0 <= bucket.tax_reversed <= bucket.tax == tax_of(bucket.recognised, rate)
        assert bucket.prepaid_left >= 0
    bucket, _sale = recognise(bucket, goods=0, shipping=0, is_last=True)
    assert bucket.prepaid_left == 0
    bucket, _tax = refund_recognised(bucket, bucket.recognised_left)
    assert bucket.tax_reversed == bucket.tax


@given(
    st.integers(-1_000_000, 1_000_000),
    st.integers(0, 50_000),
    st.booleans(),
    st.sampled_from(["capture", "failure", "suspense", "unknown"]),
)
def test_every_draft_of_a_transaction_balances_and_moves_1150_by_its_net(
    amount: int, fee: int, taxable: bool, kind: str
) -> None:
    fact = change(amount, fee, fee // 11 if taxable else 0)
    draft = {
        "capture": lambda: posting.capture(fact, order_id=1, reference="K1"),
        "failure": lambda: posting.refund_failure(fact, order_id=1, reference="K1"),
        "suspense": lambda: posting.suspense(fact, order_id=1, reference="K1"),
        "unknown": lambda: posting.unknown_refund(fact, reference="re_1"),
    }[kind]()
    if amount or fee:
        journal.require_balanced(draft)
    assert sum(line.debit - line.credit for line in draft.lines if line.account == "1150") == amount - fee
