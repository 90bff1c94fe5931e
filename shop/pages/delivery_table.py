"""The days of delivery that pages show, kept as the navigation is: for each version of it."""

from functools import lru_cache

from ledger.sales.delivery import DeliveryTable, load_table
from shop.pages.version import rendering_version


def load_delivery_table() -> DeliveryTable:
    """Return the table of the usual carrier.

    It takes one query, unless the page store renders the page.
    """
    version = rendering_version.get()
    return load_table() if version is None else table_of_version(version.navigation)


@lru_cache(maxsize=2)
def table_of_version(version: str) -> DeliveryTable:
    """Return the table of a version, read once."""
    return load_table()
