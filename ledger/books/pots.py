"""The pot of a tax rate: what of an order's money is prepaid, recognised as sales, refunded. Pure arithmetic.

An order's charge lies in one pot per rate (shipping in the 10 % pot). A shipment recognises a part of each pot, a
refund takes from what is still prepaid or from what was recognised. All amounts are integer JPY including tax.
"""

from dataclasses import dataclass, replace

from ledger.books.tax import tax_of


@dataclass(frozen=True)
class Pot:
    """One rate's share of an order, as far as shipments and refunds have used it."""

    rate: int  # percent
    gross: int  # charged
    recognised: int = 0  # moved from prepayments to sales by shipments
    tax: int = 0  # output tax that these shipments posted
    refunded_before: int = 0  # taken from what was prepaid
    refunded_after: int = 0  # taken from what was recognised
    tax_reversed: int = 0  # output tax that refunds took back

    @property
    def prepaid_left(self) -> int:
        """What is paid, not refunded, and not yet shipped."""
        return self.gross - self.recognised - self.refunded_before

    @property
    def recognised_left(self) -> int:
        """What is shipped and not refunded."""
        return self.recognised - self.refunded_after

    @property
    def remaining(self) -> int:
        """What a refund can still take."""
        return self.prepaid_left + self.recognised_left


@dataclass(frozen=True)
class Recognised:
    """What a shipment moves from prepayments (2130) to sales, for one rate."""

    rate: int
    goods: int  # net of tax
    shipping: int  # net of tax
    tax: int

    @property
    def gross(self) -> int:
        """The amount that leaves prepayments."""
        return self.goods + self.shipping + self.tax


def recognise(pot: Pot, *, goods: int, shipping: int, last: bool) -> tuple[Pot, Recognised]:
    """Recognise a shipment's share of a pot, never more than what refunds left of it.

    `goods` and `shipping` are the gross shares of this parcel. The last parcel of a rate takes all that is left.
    The tax is cumulative, ⌊recognised so far × r / (100 + r)⌋ less what was posted, so that parcels together carry
    the tax of the whole; that of the shipping fee is its own floor, the goods take the rest.
    """
    amount = pot.prepaid_left if last else min(goods + shipping, pot.prepaid_left)
    shipping = min(shipping, amount)
    tax = tax_of(pot.recognised + amount, pot.rate) - pot.tax
    shipping_tax = min(tax_of(shipping, pot.rate), tax)
    part = Recognised(
        rate=pot.rate,
        goods=amount - shipping - (tax - shipping_tax),
        shipping=shipping - shipping_tax,
        tax=tax,
    )
    return replace(pot, recognised=pot.recognised + amount, tax=pot.tax + tax), part


def reverse(pot: Pot, gross: int) -> tuple[Pot, int]:
    """Take `gross` back from what was recognised and tell the tax in it.

    The tax is ⌊refunded after shipment so far × r / (100 + r)⌋ less what was reversed: after the last yen it equals
    the tax that was posted. Raises ValueError beyond what was recognised.
    """
    if not 0 <= gross <= pot.recognised_left:
        raise ValueError(
            f"{gross} exceeds the {pot.recognised_left} that the {pot.rate}% pot has recognised."
        )
    tax = tax_of(pot.refunded_after + gross, pot.rate) - pot.tax_reversed
    return (
        replace(pot, refunded_after=pot.refunded_after + gross, tax_reversed=pot.tax_reversed + tax),
        tax,
    )


def take(pot: Pot, *, prepaid: int, recognised: int) -> tuple[Pot, int, int]:
    """Take a refund's share from a pot: as asked, but what one side lacks comes from the other.

    Returns the pot afterwards, and what came from the prepaid and from the recognised side; together they are less
    than asked only when the pot is empty.
    """
    wanted = prepaid + recognised
    before = min(prepaid, pot.prepaid_left)
    after = min(wanted - before, pot.recognised_left)
    before += min(wanted - before - after, pot.prepaid_left - before)
    return (
        replace(pot, refunded_before=pot.refunded_before + before, refunded_after=pot.refunded_after + after),
        before,
        after,
    )
