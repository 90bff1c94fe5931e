"""Marks in the content pages: where staff write {{返品条件}}, the page shows the shop's own text.

So a rule that stands on several pages has one source: the templates in `ledger/terms`, the settings, and the
delivery days in the admin.
"""

import re
from collections.abc import Callable
from functools import cache

from django.template.loader import render_to_string
from django.utils.html import escape
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from ledger.sales.delivery import DeliveryTable, load_table
from ledger.templatetags.ledger_terms import seller, terms
from shop.models import in_language

Load = Callable[[], DeliveryTable]  # loads the table when the first mark needs it
MARK = re.compile(r"(<p>\s*)?\{\{\s*([^{}<>]*?)\s*\}\}(\s*</p>)?")


def delivery_table(table: DeliveryTable) -> str:
    """Return the HTML table of the delivery days."""
    islands: dict[int, list[str]] = {}
    for area in table.areas:
        islands.setdefault(area.more_days, []).append(in_language(area.name, area.english))
    rows = table.rows(english=get_language() == "en")
    values = {"rows": rows, "islands": sorted(islands.items())}
    return render_to_string("ledger/terms/delivery_table.html", values)


TEXTS: dict[str, Callable[[Load], str]] = {
    "販売業者": lambda _load: seller()["name"],
    "所在地": lambda _load: seller()["address"],
    "電話番号": lambda _load: _("%(telephone)s (%(hours)s)") % seller(),
    "返品条件": lambda _load: terms("returns"),
    "キャンセル条件": lambda _load: terms("cancellation"),
    "送料": lambda _load: terms("shipping"),
    "発送": lambda _load: terms("dispatch"),
    "お届け": lambda load: terms("delivery", table=load()),
}
TABLES: dict[str, Callable[[Load], str]] = {"お届け日数表": lambda load: delivery_table(load())}
MARKS = (*TEXTS, *TABLES)


def fill_marks(html: str) -> str:
    """Return the HTML of a content page with each mark replaced by its text in the active language.

    Takes one query if a mark needs the delivery days.
    """
    load = cache(load_table)

    def fill(found: re.Match[str]) -> str:
        before, name, after = found.groups(default="")
        if name in TABLES:
            table = TABLES[name](load)
            return table if before and after else before + table + after  # no table stands in a paragraph
        return before + escape(TEXTS[name](load)) + after if name in TEXTS else found[0]

    return MARK.sub(fill, html)


def unknown_marks(html: str) -> list[str]:
    """Return the marks that stand for nothing, as they are written."""
    names = (found[2] for found in MARK.finditer(html))
    return [f"{{{{{name}}}}}" for name in names if name not in MARKS]


def offered_marks() -> str:
    """Return the marks as staff write them."""
    return " ".join(f"{{{{{name}}}}}" for name in MARKS)
