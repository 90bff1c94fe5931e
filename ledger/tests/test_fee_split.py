"""A fee is exempt, taxable, or both: `fee_details` names the tax, not what is taxed."""

import pytest

from ledger.ingest.readings import split_fee


@pytest.mark.parametrize(
    ("parts", "tax", "is_taxed", "taxable", "doubtful"),
    [
        ([437], 0, False, 0, False),  # Visa
        ([437], 44, True, 437, False),  # JCB
        ([2], 0, True, 2, False),  # a tax of less than a yen
        ([1_500, 360], 150, True, 1_500, False),
        ([360, 1_500], 150, True, 1_500, False),
        ([1_460, 500], 50, True, 500, False),
        ([1_500, 360], 186, True, 1_860, False),
        ([-1_500, -360], -150, True, -1_500, False),  # a fee that is given back
        ([1_960], 50, True, 500, True),  # no part has this tax: the one that would
        ([10], 50, True, 10, True),  # never more than the whole
        ([], 0, True, 0, False),
    ],
)
def test_the_taxable_part_is_the_one_whose_tax_it_is(
    parts: list[int], tax: int, is_taxed: bool, taxable: int, doubtful: bool
) -> None:
    assert split_fee(parts, tax, is_taxed=is_taxed) == (taxable, doubtful)
