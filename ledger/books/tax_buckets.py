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
    refunded_prepaid: int = 0  # refunded out of what was prepaid
    refunded_recognised: int = 0  # refunded out of what was recognised
    tax_reversed: int = 0  # output tax reversed by refunds
    # of pieces that their refund released or took back to stock, before it was withdrawn:
    held: int = 0  # of what is prepaid
    held_sales: int = 0  # of what was recognised

    @property
    def prepaid_left(self) -> int:
        """What is paid, and neither refunded nor shipped."""
        return self.gross - self.recognised - self.refunded_prepaid

    @property
    def deliverable(self) -> int:
        """What is prepaid for pieces that can still be shipped."""
        return max(0, self.prepaid_left - self.held)

    @property
    def recognised_left(self) -> int:
        """What is shipped and not refunded."""
        return self.recognised - self.refunded_recognised

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
    is left. The tax is cumulative: ⌊recognised including this shipment × r / (100 + r)⌋ less what was posted,
    so that all shipments together carry the tax of the whole. The tax of the shipping fee is rounded down by
    itself; the goods carry the rest.
    """
    amount = bucket.deliverable if is_last else min(goods + shipping, bucket.deliverable)
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


def refund_recognised(bucket: TaxBucket, gross: int) -> tuple[TaxBucket, int]:
    """Refund `gross` out of sales: return the bucket afterwards and the tax in the refund.

    For buckets of *posted* refunds; to plan a refund, see `take`. The tax is ⌊refunded out of sales including
    this refund × r / (100 + r)⌋ less what was reversed, so when everything is refunded, the reversed tax
    equals the posted tax. Raises ValueError beyond what was recognised.
    """
    if not 0 <= gross <= bucket.recognised_left:
        raise ValueError(
            f"{gross} exceeds the {bucket.recognised_left} that the {bucket.rate}% bucket has recognised."
        )
    tax = tax_of(bucket.refunded_recognised + gross, bucket.rate) - bucket.tax_reversed
    return (
        replace(
            bucket,
            refunded_recognised=bucket.refunded_recognised + gross,
            tax_reversed=bucket.tax_reversed + tax,
        ),
        tax,
    )


def take(bucket: TaxBucket, *, prepaid: int, recognised: int) -> tuple[TaxBucket, int, int]:
    """Plan a refund: take its share from a bucket; what one side lacks comes from the other.

    No tax is computed. Returns the bucket afterwards, and the amounts taken from the prepaid and from the
    recognised side. Together they are less than asked for only when the bucket is empty.
    """
    wanted = prepaid + recognised
    from_prepaid = min(prepaid, bucket.prepaid_left)
    from_recognised = min(wanted - from_prepaid, bucket.recognised_left)
    from_prepaid += min(wanted - from_prepaid - from_recognised, bucket.prepaid_left - from_prepaid)
    return (
        replace(
            bucket,
            refunded_prepaid=bucket.refunded_prepaid + from_prepaid,
            refunded_recognised=bucket.refunded_recognised + from_recognised,
        ),
        from_prepaid,
        from_recognised,
    )
