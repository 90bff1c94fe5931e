"""The admin's first page: what is wrong now, then what needs attention today."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Min
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from kikaku import days
from kikaku.money import yen
from ledger.books.discrepancies import count_open
from ledger.books.open_balances import old_balances
from ledger.models import (
    CheckoutAttempt,
    DailyClose,
    Discrepancy,
    Order,
    StripeEvent,
    TaxStatus,
)
from ledger.models.orders import OrderStatus
from ledger.templatetags.ledger_money import format_deadline
from ops.admin import sales_chart, waiting
from ops.models import Todo
from ops.todos import words
from shop.models import ContactMessage

MAX_LIST_ROWS = 8
STOCK_KINDS = (Todo.Kind.NEGATIVE_STOCK, Todo.Kind.LOW_STOCK)


@dataclass(frozen=True)
class Tile:
    """One figure, its link if there is one, and whether it needs attention."""

    title: str
    value: str
    note: str
    url: str
    state: str  # calm, todo, alarm


@dataclass(frozen=True)
class Row:
    """One line of a list: text on the left, detail on the right, and its link."""

    text: str
    detail: str
    url: str
    is_urgent: bool = False


def add_dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Return the context of the admin's first page, of what this user may see.

    `troubles` is None for a user who may not see enough to be told that nothing is wrong. Each part takes
    one query or two, and shows `MAX_LIST_ROWS` at most.
    """
    user, now = request.user, timezone.now()
    models = ("order", "discrepancy", "dailyclose", "stripeevent", "stockitem")
    viewable = {name for name in models if user.has_perm(f"ledger.view_{name}")}
    may_see_worker = user.has_perm("ops.view_heartbeat")
    worker = waiting.worker(now=now)
    waits = waiting.waiting(user, is_worker_silent=worker.is_wrong, now=now)
    troubles = [worker] if worker.is_wrong and may_see_worker else []
    troubles += [matter for matter in waits if matter.is_wrong]
    tiles = _tax_status_tile(may_see=user.has_perm("ledger.view_taxstatus"))
    if "order" in viewable:
        tiles.append(_orders_tile())
        context["to_ship"] = _orders_to_ship()
    if user.has_perm("ops.view_todo"):
        kinds = words.visible_kinds(user)
        tiles.append(_todos_tile(kinds))
        context["todos"] = _open_todos(kinds)
    if "dailyclose" in viewable:
        close = DailyClose.objects.order_by("-day").first()
        tiles.append(_close_tile(close, now=now))
        if missing := waiting.missing_close(close, is_worker_silent=worker.is_wrong, now=now):
            troubles.append(missing)
    if user.has_perm("ledger.view_payment"):
        context["sales"] = found = sales_chart.sales(now=now)
        context["sales_note"] = _(
            "%(yen)s from %(count)s orders, paid and not cancelled, by the day of payment with shipping"
        ) % {"yen": yen(found.yen), "count": found.orders}
        tiles += [_sales_tile(found), _counter_tile(), *_old_balances_tile()]
    if "discrepancy" in viewable:
        tiles.append(_discrepancies_tile())
    if "stripeevent" in viewable:
        tiles += _unhandled_tile()
    if user.has_perm("shop.view_contactmessage"):
        tiles.append(_messages_tile())
    if "stockitem" in viewable:
        context["low_stock"] = _low_stock()
    context |= {
        "tiles": tiles,
        "troubles": troubles if troubles or may_see_worker else None,
        "waiting": waits,
        "worker": worker if may_see_worker else None,
    }
    return context


def _tax_status_tile(*, may_see: bool) -> list[Tile]:
    """Return the tile of a missing tax status, with a link for who may see the settings; none otherwise."""
    if TaxStatus.objects.exists():
        return []
    return [
        Tile(
            _("Tax settings"),
            _("not entered"),
            _("no orders are taken, and nothing is posted")
            if may_see
            else _("no orders are taken, and nothing is posted, until the owner enters them"),
            reverse("admin:ledger_taxstatus_changelist") if may_see else "",
            "alarm",
        )
    ]


def _orders_tile() -> Tile:
    count = Order.objects.to_ship().count()
    return Tile(
        _("Orders to ship"),
        str(count),
        _("paid and not yet completely shipped") if count else _("nothing waits"),
        reverse("admin:ledger_order_changelist") + "?todo=ship",
        "todo" if count else "calm",
    )


def _counter_tile() -> Tile:
    """Return the tile of orders that wait for payment at a convenience store."""
    waiting = (
        CheckoutAttempt.objects.waiting()
        .filter(order__status=OrderStatus.PENDING)
        .aggregate(count=Count("pk"), next=Min("voucher_expires_at"))
    )
    return Tile(
        _("Waiting at the counter"),
        str(waiting["count"]),
        _("the next one until %(deadline)s") % {"deadline": format_deadline(waiting["next"])}
        if waiting["next"]
        else _("no voucher is out"),
        reverse("admin:ledger_order_changelist") + "?todo=pay",
        "calm",
    )


def _old_balances_tile() -> list[Tile]:
    """Return the tile of money that waits too long in 2130 or 2120; none without any."""
    old = old_balances(days.business_day(timezone.now()))
    if not old:
        return []
    return [
        Tile(
            _("Prepayments and refunds that wait"),
            str(len(old)),
            _("%(amount)s, the oldest since %(day)s")
            % {"amount": yen(sum(each.amount for each in old)), "day": min(each.since for each in old)},
            reverse("admin:ledger_order_open_balances"),
            "todo",
        )
    ]


def _orders_to_ship() -> Sequence[Row]:
    orders = Order.objects.to_ship().order_by("paid_at", "id")[:MAX_LIST_ROWS]
    return [
        Row(
            f"{order.number}  {order.name}",
            f"{yen(order.total)}  {_format_short_time(order.paid_at or order.placed_at)}",
            reverse("admin:ledger_order_change", args=[order.pk]),
        )
        for order in orders
    ]


def _format_short_time(instant: datetime) -> str:
    """Return an instant as shown on the dashboard: month, day and time in Japan."""
    return date_format(timezone.localtime(instant), "n/j H:i")


def _todos_tile(kinds: Sequence[str]) -> Tile:
    levels = dict(
        Todo.objects.open().filter(kind__in=kinds).order_by().values_list("level").annotate(count=Count("pk"))
    )
    urgent, count = levels.get(Todo.Level.ALARM, 0), sum(levels.values())
    return Tile(
        _("To-dos"),
        str(count),
        _("urgent %(urgent)s") % {"urgent": urgent} if count else _("nothing is to be done"),
        reverse("admin:ops_todo_changelist"),
        "alarm" if urgent else "todo" if count else "calm",
    )


def _open_todos(kinds: Sequence[str]) -> Sequence[Row]:
    """Return the most urgent to-dos, the oldest first; stock has a list of its own."""
    others = [kind for kind in kinds if kind not in STOCK_KINDS]
    found = Todo.objects.open().filter(kind__in=others).select_related("assignee")[:MAX_LIST_ROWS]
    return [
        Row(
            words.sentence(todo),
            " ".join(
                filter(
                    None,
                    (
                        todo.get_level_display(),
                        _format_short_time(todo.since),
                        todo.assignee.get_username() if todo.assignee else "",
                    ),
                )
            ),
            reverse("admin:ops_todo_change", args=[todo.pk]),
            is_urgent=todo.level == Todo.Level.ALARM,
        )
        for todo in found
    ]


def _low_stock() -> Sequence[Row]:
    """Return the items to order again that staff are not done with, those with nothing left first."""
    found = Todo.objects.open().filter(kind__in=STOCK_KINDS)[:MAX_LIST_ROWS]
    return [
        Row(
            words.sentence(todo),
            _format_short_time(todo.since),
            words.page_of(todo),
            is_urgent=todo.level == Todo.Level.ALARM,
        )
        for todo in found
    ]


def _sales_tile(sales: sales_chart.Sales) -> Tile:
    return Tile(
        _("Sales today"),
        yen(sales.today.yen),
        ngettext("%(count)s order", "%(count)s orders", sales.today.orders) % {"count": sales.today.orders},
        reverse("admin:ledger_order_changelist"),
        "calm",
    )


def _discrepancies_tile() -> Tile:
    """Return the tile of what waits for a person: an alarm only where our books and Stripe differ."""
    kinds = Discrepancy.objects.unresolved().order_by().values_list("kind").annotate(count=Count("pk"))
    counts: Counter[Discrepancy.Category] = Counter()
    for kind, count in kinds:
        counts[Discrepancy.Kind(kind).category] += count
    differences = counts[Discrepancy.Category.DIFFERENCE]
    tasks = counts[Discrepancy.Category.TO_DO]
    note = _("differences %(differences)s, to do %(tasks)s") % {"differences": differences, "tasks": tasks}
    return Tile(
        _("Open discrepancies"),
        str(differences + tasks),
        note if differences + tasks else _("everything adds up"),
        reverse("admin:ledger_discrepancy_changelist") + "?state=open",
        "alarm" if differences else "todo" if tasks else "calm",
    )


def _close_tile(latest: DailyClose | None, *, now: datetime) -> Tile:
    """Return the tile of yesterday's close; `latest` is the last closed day."""
    day = days.yesterday(now)
    url = reverse("admin:ledger_dailyclose_changelist")
    title = _("Daily close of %(day)s") % {"day": date_format(day, "n/j")}
    if latest is None or latest.day < day:
        return Tile(title, _("not closed yet"), _("closes at 01:00; it catches up by itself"), url, "todo")
    open_now = count_open(day)
    if differences := open_now[Discrepancy.Category.DIFFERENCE]:
        words = ngettext("%(count)s difference", "%(count)s differences", differences)
        return Tile(title, words % {"count": differences}, _("closed with differences"), url, "alarm")
    if tasks := open_now[Discrepancy.Category.TO_DO]:
        return Tile(title, _("closed"), _("to do: %(count)s") % {"count": tasks}, url, "todo")
    return Tile(title, _("closed"), _("no differences"), url, "calm")


def _unhandled_tile() -> list[Tile]:
    """Return the tile of events that the shop does not handle yet, such as disputes; none without any."""
    types = list(
        StripeEvent.objects.filter(status=StripeEvent.Status.UNHANDLED)
        .values_list("type")
        .annotate(count=Count("pk"))
        .order_by("type")
    )
    if not types:
        return []
    return [
        Tile(
            _("Not handled: look at Stripe"),
            str(sum(count for _type, count in types)),
            ", ".join(f"{kind} {count}" for kind, count in types),
            reverse("admin:ledger_stripeevent_changelist") + "?status__exact=unhandled",
            "alarm" if any(not kind.startswith("payout.") for kind, _count in types) else "todo",
        )
    ]


def _messages_tile() -> Tile:
    count = ContactMessage.objects.filter(answered_at__isnull=True).count()
    return Tile(
        _("Messages from customers"),
        str(count),
        _("to be answered") if count else _("all answered"),
        reverse("admin:shop_contactmessage_changelist"),
        "todo" if count else "calm",
    )
