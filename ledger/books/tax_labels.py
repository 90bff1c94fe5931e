"""Names of the tax classes of lines (税区分), as accounting programs have them."""

from ledger.models.books import LineTaxClass

# Japanese whatever language is active: they stand in the evidence
LABELS: dict[str, str] = {
    LineTaxClass.SALE_STANDARD: "課税売上{rate}%",
    LineTaxClass.SALE_REDUCED: "課税売上軽減{rate}%",
    LineTaxClass.RETURN_STANDARD: "課税売返{rate}%",
    LineTaxClass.RETURN_REDUCED: "課税売返軽減{rate}%",
    LineTaxClass.PURCHASE: "課税仕入{rate}%",
    LineTaxClass.EXEMPT_PURCHASE: "非課税仕入",
    LineTaxClass.OUTSIDE: "対象外",
    LineTaxClass.TAX: "対象外",  # the account of the tax itself
}
OF_SALES = frozenset(
    {
        LineTaxClass.SALE_STANDARD,
        LineTaxClass.SALE_REDUCED,
        LineTaxClass.RETURN_STANDARD,
        LineTaxClass.RETURN_REDUCED,
    }
)


def tax_label(tax_class: str | None, rate: int | None, business_type: int | None = None) -> str:
    """Return the name of a line's tax class; empty for a line of form 1, which has none.

    `business_type` is that of simplified taxation (第1種 to 第6種); it is appended to sales and returns.
    """
    if tax_class is None:
        return ""
    label = LABELS[tax_class].format(rate=rate)
    return f"{label} 第{business_type}種" if business_type and tax_class in OF_SALES else label
