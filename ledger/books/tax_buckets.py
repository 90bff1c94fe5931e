"""The tax bucket of a rate: how much of an order's money is prepaid, recognised as sales and refunded.

The amount charged for an order is divided into one bucket per tax rate, with the shipping fee in the 10 %
bucket. A shipment recognises a part of each bucket. A refund takes from what is still prepaid or from what
was recognised. Pure arithmetic; all amounts are integer JPY including tax.
"""

from dataclasses import dataclass, replace

from ledger.books.tax import tax_of


@dataclass(frozen=True)
class TaxBucket:
    """The share of one tax rate in an order, after the shipments and refunds so far."""

    rate: int  # percent
    gross: int  # charged
    recognised: int = 0  # moved from prepayments to sales by shipments
    tax: int = 0  # output tax posted by these shipments
    refunded_before: int = 0  # refunded out of what was prepaid
    refunded_after: int = 0  # refunded out of what was recognised
    tax_reversed: int = 0  # output tax reversed by refunds

    @property
    def prepaid_left(self) -> int:
        """What is paid, and neither refunded nor shipped."""
        return self.gross - self.recognised - self.refunded_before

    @property
    def recognised_left(self) -> int:
        """What is shipped and not refunded."""
        return self.recognised - self.refunded_after

    @property
    def remaining(self) -> int:
        """The largest amount that can still be refunded."""
        return self.prepaid_left + self.recognised_left


@dataclass(frozen=True)
class RecognisedSale:
    """The amounts of one rate that a shipment moves from prepayments (2130) to sales."""

    rate: int
    goods: int  # net of tax
    shipping: int  # net of tax
    tax: int

    @property
    def gross(self) -> int:
        """The amount that leaves prepayments."""
        return self.goods + self.shipping + self.tax


def recognise(
    bucket: TaxBucket, *, goods: int, shipping: int, is_last: bool
) -> tuple[TaxBucket, RecognisedSale]:
    """Recognise a shipment's share of a bucket, at most what refunds left of it.

    `goods` and `shipping` are the gross shares of this shipment. The last shipment of a rate takes all that
    is left. The tax is cumulative: ⌊recognised so far × r / (100 + r)⌋ less what was posted, so that all
    shipments together carry the tax of the whole. The tax of the shipping fee is rounded down by itself; the
    goods carry the rest.
    """
    amount = bucket.prepaid_left if is_last else min(goods + shipping, bucket.prepaid_left)
    shipping = min(shipping, amount)
    tax = tax_of(bucket.recognised + amount, bucket.rate) - bucket.tax
    shipping_tax = min(tax_of(shipping, bucket.rate), tax)
    sale = RecognisedSale(
        rate=bucket.rate,
        goods=amount - shipping - (tax - shipping_tax),
        shipping=shipping - shipping_tax,
        tax=tax,
    )
    return replace(bucket, recognised=bucket.recognised + amount, tax=bucket.tax + tax), sale


def reverse(bucket: TaxBucket, gross: int) -> tuple[TaxBucket, int]:
    """Refund `gross` out of what was recognised; return the new bucket and the tax contained in the refund.

    The tax is ⌊refunded after shipment so far × r / (100 + r)⌋ less what was reversed, so that after the last
    yen it equals the tax that was posted. Raises ValueError beyond what was recognised.
    """
    if not 0 <= gross <= bucket.recognised_left:
        raise ValueError(
            f"{gross} exceeds the {bucket.recognised_left} that the {bucket.rate}% bucket has recognised."
        )
    tax = tax_of(bucket.refunded_after + gross, bucket.rate) - bucket.tax_reversed
    return (
        replace(
            bucket,
            refunded_after=bucket.refunded_after + gross,
            tax_reversed=bucket.tax_reversed + tax,
        ),
        tax,
    )


def take(bucket: TaxBucket, *, prepaid: int, recognised: int) -> tuple[TaxBucket, int, int]:
    """Take a refund's share from a bucket; what one side lacks comes from the other.

    Returns the bucket afterwards, and the amounts taken from the prepaid and from the recognised side.
    Together they are less than asked for only when the bucket is empty.
    """
    wanted = prepaid + recognised
    before = min(prepaid, bucket.prepaid_left)
    after = min(wanted - before, bucket.recognised_left)
    before += min(wanted - before - after, bucket.prepaid_left - before)
    return (
        replace(
            bucket,
            refunded_before=bucket.refunded_before + before,
            refunded_after=bucket.refunded_after + after,
        ),
        before,
        after,
    )
