"""The list of goods given away and of corrected counts: a page for a period, and a file."""

from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.http import content_disposition_header

from kikaku.admin.readonly import ReadOnlyAdmin
from kikaku.days import business_day
from ledger.admin.book_pages import REFUSALS, message_of, years_of_books
from ledger.books.periods import read_period
from ledger.books.tax_rules import load_tax_rules
from ledger.closing.paper_files import csv_file
from ledger.sales.free_goods import free_goods

COLUMNS = ("日付", "品番", "数量", "理由", "販売価格", "注文番号")
TITLE = "無償出荷・在庫調整"


class FreeGoodsPages(ReadOnlyAdmin):
    """The list of what left without a sale, beside the movements of stock; for who may see them."""

    def get_urls(self) -> list[URLPattern]:
        """Return the admin's addresses and those of the list."""
        pages = {
            "free_goods": ("free-goods/", self.free_goods_page),
            "free_goods_csv": ("free-goods.csv", self.free_goods_csv),
        }
        return [
            *(
                path(address, self.admin_site.admin_view(view), name=f"ledger_stockmovement_{name}")
                for name, (address, view) in pages.items()
            ),
            *super().get_urls(),
        ]

    def free_goods_page(self, request: HttpRequest) -> HttpResponse:
        """Return the list of a period, the current month by default. Raises `PermissionDenied`."""
        self._require_permission(request)
        today = business_day(timezone.now())
        rules = load_tax_rules()
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": TITLE,
            "opts": self.opts,
            "years": years_of_books(rules, today),
            "today": today,
        }
        try:
            period = read_period(request.GET, today=today, rules=rules)
        except REFUSALS as error:
            context |= {"error": message_of(error)}
            return TemplateResponse(request, "ledger/admin/free_goods.html", context, status=400)
        context |= {
            "period": period,
            "query": urlencode(period.parameters),
            "rows": free_goods(period.first, period.last),
        }
        return TemplateResponse(request, "ledger/admin/free_goods.html", context)

    def free_goods_csv(self, request: HttpRequest) -> HttpResponse:
        """Return the list of a period as a file. Raises `PermissionDenied`."""
        self._require_permission(request)
        try:
            period = read_period(request.GET, today=business_day(timezone.now()), rules=load_tax_rules())
        except REFUSALS as error:
            return HttpResponse(message_of(error), status=400, content_type="text/plain; charset=utf-8")
        rows = [
            (each.day.isoformat(), each.sku, each.quantity, str(each.reason), each.price, each.order_number)
            for each in free_goods(period.first, period.last)
        ]
        file_name = f"{TITLE}_{period.first}_{period.last}.csv"
        return HttpResponse(
            csv_file(COLUMNS, rows),
            content_type="text/csv; charset=utf-8",
            headers={
                "Content-Disposition": content_disposition_header(True, file_name),
                "Cache-Control": "private, no-store",
            },
        )

    def _require_permission(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied
