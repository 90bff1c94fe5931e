"""The admin's menu: grouped by task, each entry shown only to users who may see it."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

# (group, ((app, model, icon), …)); the label is the model's plural name. A page beside the list of a model
# is (app, model, icon, the end of its address's name, label); who may see the model may see it. The
# entries of the group without a name stand below the first page.
MENU_GROUPS: tuple[tuple[Any, tuple[tuple[Any, ...], ...]], ...] = (
    ("", (("ops", "todo", "checklist"),)),
    (
        gettext_lazy("Orders and stock"),
        (
            ("ledger", "order", "receipt_long"),
            ("ledger", "stockitem", "inventory_2"),
            ("ledger", "stockmovement", "swap_vert"),
            (
                "ledger",
                "stockmovement",
                "redeem",
                "free_goods",
                gettext_lazy("Goods given away and stock corrections"),
            ),
            ("ledger", "outgoingmail", "mail"),
            ("ledger", "orderallowance", "person_check"),
            ("ledger", "carrier", "local_shipping"),
            ("ledger", "remotearea", "sailing"),
            ("shop", "contactmessage", "forum"),
        ),
    ),
    (
        gettext_lazy("Catalogue"),
        (
            ("shop", "product", "lightbulb"),
            ("shop", "category", "category"),
            ("shop", "contentpage", "article"),
            ("shop", "searchsynonym", "search"),
            ("shop", "redirect", "alt_route"),
        ),
    ),
    (
        gettext_lazy("Money and books"),
        (
            ("ledger", "dailyclose", "event_available"),
            ("ledger", "discrepancy", "error"),
            ("ledger", "journalentry", "menu_book"),
            ("ledger", "journalentry", "auto_stories", "journal", gettext_lazy("Journal as a book")),
            (
                "ledger",
                "journalentry",
                "balance",
                "trial_balance",
                gettext_lazy("Trial balance (Stripe and sales)"),
            ),
            (
                "ledger",
                "journalentry",
                "event_repeat",
                "late",
                gettext_lazy("Entries after the end of their period"),
            ),
            ("ledger", "account", "account_tree"),
            ("ledger", "taxstatus", "percent"),
            ("ledger", "payment", "payments"),
            ("ledger", "refund", "undo"),
            (
                "ledger",
                "order",
                "hourglass_bottom",
                "open_balances",
                gettext_lazy("Prepayments and refunds that wait"),
            ),
            ("ledger", "keptmoney", "savings"),
            ("ledger", "balancetransaction", "account_balance"),
            ("ledger", "stripeevent", "bolt"),
        ),
    ),
    (
        gettext_lazy("Operations"),
        (
            ("ops", "alert", "notifications"),
            ("ops", "jobrun", "monitoring", "operations", gettext_lazy("How the shop runs")),
            ("ops", "jobrun", "schedule"),
            ("ops", "heartbeat", "monitor_heart"),
            ("auditlog", "logentry", "history"),
            ("ops", "signin", "login"),
            ("auth", "user", "person"),
            ("auth", "group", "group"),
        ),
    ),
)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the menu's groups with the entries that this user may see; no query."""
    registered = {
        (model._meta.app_label, str(model._meta.model_name)): model_admin
        for model, model_admin in admin.site._registry.items()
    }
    groups: list[dict[str, Any]] = [
        {"items": [{"title": _("What to do today"), "icon": "today", "link": reverse("admin:index")}]}
    ]
    for title, entries in MENU_GROUPS:
        items = []
        for app, model, icon, *page in entries:
            model_admin = registered.get((app, model))
            if model_admin is None or not model_admin.has_view_permission(request):
                continue
            name, label = page or ("changelist", model_admin.model._meta.verbose_name_plural)
            label = str(label)
            items.append(
                {
                    "title": label[:1].upper() + label[1:],
                    "icon": icon,
                    "link": reverse(f"admin:{app}_{model}_{name}"),
                }
            )
        if not title:
            groups[0]["items"] += items
        elif items:
            groups.append({"title": str(title), "separator": True, "items": items})
    entries_shown = [item for group in groups for item in group["items"]]
    here = _link_of(request.path, [item["link"] for item in entries_shown])
    for item in entries_shown:
        item["active"] = item["link"] == here
    return groups


def _link_of(path: str, links: list[str]) -> str:
    """Return the link that a page belongs to, "" for none: a page beside a list has one of its own."""
    first_page = reverse("admin:index")
    if path == first_page:
        return first_page
    return max((link for link in links if link != first_page and path.startswith(link)), key=len, default="")


def favicon(request: HttpRequest) -> str:
    """Return the address of the shop's icon."""
    return static("shop/favicon.svg")


def stylesheet(request: HttpRequest) -> str:
    """Return the address of the styles that extend unfold's."""
    return static("ops/admin.css")
