"""The tax bucket of a class: how much of an order's money is prepaid, recognised as sales and refunded.

The amount charged for an order is divided into one bucket per tax class, with the shipping fee in that of the
standard rate. A shipment recognises a part of each bucket, at the rate of its day. A refund takes from what
is still prepaid or from what was recognised. Pure arithmetic; all amounts are integer JPY including tax.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from ledger.books.tax import spread, tax_of

NO_RATES: Mapping[int | None, int] = MappingProxyType({})


@dataclass(frozen=True)
class SoldPortion:
    """What shipments sold at one rate; an order has several when the rate or the tax status changed."""

    rate: int | None  # percent; None: sold while the merchant was exempt
    gross: int = 0
    tax: int = 0  # output tax posted by the shipments
    refunded: int = 0  # of the gross
    refunded_taxed: int = 0  # of what is refunded: while the merchant was not exempt
    tax_reversed: int = 0  # output tax reversed by refunds

    @property
    def left(self) -> int:
        """What is not refunded."""
        return self.gross - self.refunded


@dataclass(frozen=True)
class TaxBucket:
    """The share of one tax class in an order, after the shipments and refunds so far."""

    tax_class: str
    gross: int  # charged
    sold: tuple[SoldPortion, ...] = ()  # moved from prepayments to sales by shipments
    refunded_prepaid: int = 0  # refunded, or kept as other income, out of what was prepaid
    refunded_recognised: int = 0  # refunded out of what was recognised
    rounding: str = "down"  # of the order's tax
    # of pieces that their refund released or took back to stock, before it was withdrawn:
    held: int = 0  # of what is prepaid
    held_sales: int = 0  # of what was recognised

    @property
    def recognised(self) -> int:
        """What shipments moved from prepayments to sales."""
        return sum(portion.gross for portion in self.sold)

    @property
    def tax(self) -> int:
        """The output tax that shipments posted."""
        return sum(portion.tax for portion in self.sold)

    @property
    def tax_reversed(self) -> int:
        """The output tax that refunds reversed."""
        return sum(portion.tax_reversed for portion in self.sold)

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
    """The amounts of one class that a shipment moves from prepayments (2130) to sales."""

    tax_class: str
    rate: int | None  # percent; None: exempt
    goods: int  # net of tax
    shipping: int  # net of tax
    tax: int
    shipping_tax: int = 0  # of the tax

    @property
    def gross(self) -> int:
        """The amount that leaves prepayments."""
        return self.goods + self.shipping + self.tax


@dataclass(frozen=True)
class ReturnedSale:
    """What a refund takes out of one portion of sales; gross JPY and the tax in it."""

    tax_class: str
    rate: int | None  # at which it was sold; None: exempt
    is_taxed: bool  # false: the refund is made while the merchant is exempt
    gross: int
    tax: int


def recognise(
    bucket: TaxBucket, *, goods: int, shipping: int, is_last: bool, rate: int | None
) -> tuple[TaxBucket, RecognisedSale]:
    """Recognise a shipment's share of a bucket at a rate, at most what refunds left of it.

    `goods` and `shipping` are the gross shares of this shipment. The last shipment of a class takes all that
    is left. The tax is cumulative: that on everything sold at the rate including this shipment, less what was
    posted, so that all shipments together carry the tax of the whole. The tax of the shipping fee is rounded
    by itself; the goods carry the rest, at most their value.
    """
    amount = bucket.deliverable if is_last else min(goods + shipping, bucket.deliverable)
    shipping = min(shipping, amount)
    portions = {portion.rate: portion for portion in bucket.sold}
    before = portions.get(rate, SoldPortion(rate))
    tax = tax_of(before.gross + amount, rate, bucket.rounding) - before.tax
    goods = amount - shipping
    shipping_tax = max(min(tax_of(shipping, rate, bucket.rounding), tax), tax - goods)
    sale = RecognisedSale(
        tax_class=bucket.tax_class,
        rate=rate,
        goods=goods - (tax - shipping_tax),
        shipping=shipping - shipping_tax,
        tax=tax,
        shipping_tax=shipping_tax,
    )
    if amount:
        portions[rate] = replace(before, gross=before.gross + amount, tax=before.tax + tax)
    return replace(bucket, sold=tuple(portions.values())), sale


def refund_recognised(
    bucket: TaxBucket,
    gross: int,
    *,
    wanted: Mapping[int | None, int] = NO_RATES,
    is_exempt: bool = False,
) -> tuple[TaxBucket, list[ReturnedSale]]:
    """Refund `gross` out of sales: return the bucket afterwards and what is taken from each portion.

    For buckets of *posted* refunds; to plan a refund, see `take`. `wanted` is what of it was sold at which
    rate, where pieces tell; the rest is spread over what is left of each portion. The tax is that on
    everything refunded of the portion including this refund, less what was reversed. So when everything is
    refunded, the reversed tax equals the posted tax, and it never exceeds it: what was sold while the
    merchant was exempt reverses none (消費税法基本通達14-1-6). Nor does a refund made while the merchant is
    exempt (14-1-7). Raises ValueError beyond what was recognised.
    """
    left_to_take = sum(portion.left for portion in bucket.sold)
    if not 0 <= gross <= left_to_take:
        raise ValueError(f"{gross} exceeds the {left_to_take} that the {bucket.tax_class} bucket has sold.")
    taken = [min(wanted.get(portion.rate, 0), portion.left) for portion in bucket.sold]
    left = [portion.left - part for portion, part in zip(bucket.sold, taken, strict=True)]
    rest = spread(gross - sum(taken), left)
    sold: list[SoldPortion] = []
    returned: list[ReturnedSale] = []
    for portion, amount in zip(bucket.sold, map(sum, zip(taken, rest, strict=True)), strict=True):
        taxed = portion.refunded_taxed + (0 if is_exempt else amount)
        tax = tax_of(taxed, portion.rate, bucket.rounding) - portion.tax_reversed
        tax = 0 if is_exempt or not amount else tax
        sold.append(
            replace(
                portion,
                refunded=portion.refunded + amount,
                refunded_taxed=taxed,
                tax_reversed=portion.tax_reversed + tax,
            )
        )
        if amount:
            returned.append(ReturnedSale(bucket.tax_class, portion.rate, not is_exempt, amount, tax))
    return replace(bucket, sold=tuple(sold), refunded_recognised=bucket.refunded_recognised + gross), returned


def tax_to_correct(bucket: TaxBucket) -> Sequence[tuple[int | None, int]]:
    """Return by rate how much more tax (JPY) refunds should have reversed; for a bucket of posted refunds.

    After a refund was withdrawn: the tax of those after it was rounded over it, too.
    """
    return [
        (portion.rate, tax_of(portion.refunded_taxed, portion.rate, bucket.rounding) - portion.tax_reversed)
        for portion in bucket.sold
    ]


def take(bucket: TaxBucket, *, prepaid: int, recognised: int) -> tuple[TaxBucket, int, int]:
    """Plan a refund: take its share from a bucket, from each side at most what is left of it.

    No tax is computed. Returns the bucket afterwards, and the amounts taken from the prepaid and from the
    recognised side.
    """
    prepaid = min(prepaid, bucket.prepaid_left)
    recognised = min(recognised, bucket.recognised_left)
    return (
        replace(
            bucket,
            refunded_prepaid=bucket.refunded_prepaid + prepaid,
            refunded_recognised=bucket.refunded_recognised + recognised,
        ),
        prepaid,
        recognised,
    )
