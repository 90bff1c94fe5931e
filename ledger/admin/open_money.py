"""What orders still have in 2130 and 2120, since when and why: a page and a file, for who may see orders."""

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from kikaku.days import business_day
from ledger.admin.papers import PaperPages, View, csv_response
from ledger.books.open_balances import MAX_AGE, OpenBalance, open_balances
from ledger.books.trial_balance import account_balances
from ledger.closing.paper_files import csv_file
from ledger.models import Account

COLUMNS = ("科目", "注文番号", "顧客", "発生日", "経過日数", "金額", "理由")
ALL = "all"  # parameter: the balances that are not old, too


class OpenMoneyPages(PaperPages):
    """The list of the open balances of orders: those that wait too long, or all."""

    def papers(self) -> dict[str, tuple[str, View]]:
        """Return the papers by the name of their address."""
        return {
            "open_balances": ("open-balances/", self.open_balances_page),
            "open_balances_csv": ("open-balances.csv", self.open_balances_csv),
        }

    def open_balances_page(self, request: HttpRequest) -> HttpResponse:
        """Return the list by account, with what the books have in all."""
        today = business_day(timezone.now())
        found = open_balances(today)
        in_books = account_balances(today)
        tables = [
            {
                "account": account,
                "days": MAX_AGE[account.pk],
                "rows": self._chosen(request, [each for each in found if each.account == account.pk]),
                "listed": sum(each.amount for each in found if each.account == account.pk),
                "in_books": -in_books[account.pk].net if account.pk in in_books else 0,
            }
            for account in Account.objects.filter(pk__in=MAX_AGE).order_by("-pk")
        ]
        context = {
            **self.admin_site.each_context(request),
            "title": _("Prepayments and refunds that wait"),
            "opts": self.opts,
            "today": today,
            "tables": tables,
            "all": ALL in request.GET,
        }
        return TemplateResponse(request, "ledger/admin/open_balances.html", context)

    def open_balances_csv(self, request: HttpRequest) -> HttpResponse:
        """Return the list as a file."""
        today = business_day(timezone.now())
        names = {account.pk: str(account) for account in Account.objects.filter(pk__in=MAX_AGE)}
        rows = [
            (
                names[each.account],
                each.number,
                each.customer,
                each.since.isoformat(),
                each.days,
                each.amount,
                str(each.reason),
            )
            for each in self._chosen(request, open_balances(today))
        ]
        return csv_response(csv_file(COLUMNS, rows), f"前受金・未払金_{today}.csv")

    def _chosen(self, request: HttpRequest, balances: list[OpenBalance]) -> list[OpenBalance]:
        return balances if ALL in request.GET else [each for each in balances if each.is_old]
