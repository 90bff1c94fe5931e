"""Tax that refunds reverse never exceeds what shipments posted, however status and rates change."""

from hypothesis import example, given
from hypothesis import strategies as st

from ledger.books.tax import tax_of
from ledger.books.tax_buckets import TaxBucket, recognise, refund_recognised, tax_to_correct

rates = st.sampled_from([None, 0, 8, 10, 12])  # None: exempt
shipments = st.tuples(st.just("ship"), st.integers(0, 4_000), rates)
refunds = st.tuples(st.just("refund"), st.integers(0, 4_000), st.booleans())


@given(
    st.lists(shipments | refunds, max_size=12),
    st.sampled_from(["down", "nearest", "up"]),
    st.integers(1, 12_000),
)
@example([("ship", 5, 10), ("ship", 2_163, 10)], "nearest", 314)  # of the second only the fee is left
def test_reversed_tax_is_at_most_the_posted_tax_and_all_of_it_when_all_comes_back_taxed(
    acts: list[tuple[str, int, int | bool | None]], rounding: str, gross: int
) -> None:
    bucket = TaxBucket("standard", gross, rounding=rounding)
    exempt_refunds = False
    for act, amount, how in acts:
        if act == "ship":
            bucket, sale = recognise(bucket, goods=amount, shipping=amount // 7, is_last=False, rate=how)
            assert 0 <= sale.shipping_tax <= sale.tax and min(sale.goods, sale.shipping) >= 0
            assert sale.rate is not None or sale.tax == 0
        else:
            bucket, returned = refund_recognised(
                bucket, min(amount, bucket.recognised_left), is_exempt=bool(how)
            )
            exempt_refunds |= bool(how)
            assert all(0 <= part.tax <= part.gross for part in returned)
            assert not how or not any(part.tax for part in returned)
        for portion in bucket.sold:
            assert portion.tax == tax_of(portion.gross, portion.rate, rounding)
            assert 0 <= portion.tax_reversed <= portion.tax
            assert portion.rate is not None or portion.tax == 0
    assert not any(difference for _rate, difference in tax_to_correct(bucket))
    bucket, _returned = refund_recognised(bucket, bucket.recognised_left)
    assert exempt_refunds or bucket.tax_reversed == bucket.tax
