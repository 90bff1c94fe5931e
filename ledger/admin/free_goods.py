"""The list of goods given away and of corrected counts: a page for a period, and a file."""

from typing import Any

from django.http import HttpRequest, HttpResponse

from ledger.admin.papers import PaperPages, View
from ledger.books.periods import Period
from ledger.books.tax_rules import TaxRules
from ledger.closing.paper_files import csv_file
from ledger.sales.free_goods import free_goods

COLUMNS = ("日付", "品番", "数量", "理由", "販売価格", "注文番号")
TITLE = "無償出荷・在庫調整"


class FreeGoodsPages(PaperPages):
    """The list of what left without a sale, beside the movements of stock."""

    def papers(self) -> dict[str, tuple[str, View]]:
        """Return the papers by the name of their address."""
        return {
            "free_goods": ("free-goods/", self.free_goods_page),
            "free_goods_csv": ("free-goods.csv", self.free_goods_csv),
        }

    def free_goods_page(self, request: HttpRequest) -> HttpResponse:
        """Return the list of a period, the current month by default."""

        def read(period: Period, rules: TaxRules) -> dict[str, Any]:
            return {"rows": free_goods(period.first, period.last)}

        return self.page_of_period(request, "ledger/admin/free_goods.html", {"title": TITLE}, read)

    def free_goods_csv(self, request: HttpRequest) -> HttpResponse:
        """Return the list of a period as a file."""

        def read(period: Period, rules: TaxRules) -> bytes:
            rows = (
                (
                    each.day.isoformat(),
                    each.sku,
                    each.quantity,
                    str(each.reason),
                    each.price,
                    each.order_number,
                )
                for each in free_goods(period.first, period.last)
            )
            return csv_file(COLUMNS, rows)

        return self.file_of_period(request, TITLE, read)
