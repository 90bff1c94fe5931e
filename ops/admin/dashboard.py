"""The admin's first page: figures and lists of what needs attention today."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
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
    OutgoingMail,
    StripeEvent,
    TaxStatus,
)
from ledger.models.orders import OrderStatus
from ledger.templatetags.ledger_money import format_deadline
from ops.models import Heartbeat
from shop.models import ContactMessage

MAX_LIST_ROWS = 8
HEARTBEAT_TIMEOUT = timedelta(minutes=2)  # a worker writes its heartbeat every 30 seconds


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


def add_dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Return the context of the admin's first page with the tiles and lists that this user may see."""
    user = request.user
    models = ("order", "discrepancy", "dailyclose", "stripeevent", "outgoingmail")
    viewable = {name for name in models if user.has_perm(f"ledger.view_{name}")}
    tiles = _tax_status_tile(may_see=user.has_perm("ledger.view_taxstatus"))
    if "order" in viewable:
        tiles += [_orders_tile(), _counter_tile(), *_old_balances_tile()]
    if "discrepancy" in viewable:
        tiles.append(_discrepancies_tile())
    if "dailyclose" in viewable:
        tiles.append(_close_tile())
    if {"stripeevent", "outgoingmail"} <= viewable:
        tiles += [_failures_tile(), *_unhandled_tile()]
    if user.has_perm("shop.view_contactmessage"):
        tiles.append(_messages_tile())
    if user.has_perm("ops.view_heartbeat"):
        tiles.append(_worker_tile())
    context["tiles"] = tiles
    context["to_ship"] = _orders_to_ship() if "order" in viewable else []
    context["open_discrepancies"] = _open_discrepancies() if "discrepancy" in viewable else []
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


def _discrepancies_tile() -> Tile:
    """Return the tile of what waits for a person: an alarm only where our books and Stripe differ."""
    differences = Discrepancy.objects.unresolved().of_category(Discrepancy.Category.DIFFERENCE).count()
    tasks = Discrepancy.objects.unresolved().of_category(Discrepancy.Category.TO_DO).count()
    note = _("differences %(differences)s, to do %(tasks)s") % {"differences": differences, "tasks": tasks}
    return Tile(
        _("Open discrepancies"),
        str(differences + tasks),
        note if differences + tasks else _("everything adds up"),
        reverse("admin:ledger_discrepancy_changelist") + "?state=open",
        "alarm" if differences else "todo" if tasks else "calm",
    )


def _open_discrepancies() -> Sequence[Row]:
    """Return the newest rows that wait for a person, differences first."""
    waiting = Discrepancy.objects.unresolved()
    differences = waiting.of_category(Discrepancy.Category.DIFFERENCE)[:MAX_LIST_ROWS]
    found = [*differences, *waiting.of_category(Discrepancy.Category.TO_DO)[:MAX_LIST_ROWS]][:MAX_LIST_ROWS]
    return [
        Row(
            f"{discrepancy.get_kind_display()}: {discrepancy.object_id}",
            f"{discrepancy.day:%m/%d}  {yen(discrepancy.amount)}",
            reverse("admin:ledger_discrepancy_change", args=[discrepancy.pk]),
        )
        for discrepancy in found
    ]


def _close_tile() -> Tile:
    day = days.yesterday(timezone.now())
    close = DailyClose.objects.filter(day=day).first()
    url = reverse("admin:ledger_dailyclose_changelist")
    title = _("Daily close of %(day)s") % {"day": date_format(day, "n/j")}
    if close is None:
        return Tile(title, _("not closed yet"), _("closes at 01:00; it catches up by itself"), url, "todo")
    open_now = count_open(day)
    if differences := open_now[Discrepancy.Category.DIFFERENCE]:
        words = ngettext("%(count)s difference", "%(count)s differences", differences)
        return Tile(title, words % {"count": differences}, _("closed with differences"), url, "alarm")
    if tasks := open_now[Discrepancy.Category.TO_DO]:
        return Tile(title, _("closed"), _("to do: %(count)s") % {"count": tasks}, url, "todo")
    return Tile(title, _("closed"), _("no differences"), url, "calm")


def _failures_tile() -> Tile:
    """Return the tile of events and mails that failed; a failed refund is a discrepancy."""
    events, mails = StripeEvent.objects.failed().count(), OutgoingMail.objects.failed().count()
    changelist = "outgoingmail" if mails and not events else "stripeevent"
    return Tile(
        _("Failed"),
        str(events + mails),
        _("events %(events)s, mails %(mails)s") % {"events": events, "mails": mails},
        reverse(f"admin:ledger_{changelist}_changelist") + "?status__exact=failed",
        "alarm" if events + mails else "calm",
    )


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


def _worker_tile() -> Tile:
    heartbeat = Heartbeat.objects.filter(name="worker").first()
    url = reverse("admin:ops_jobrun_changelist")
    if heartbeat is None:
        return Tile(_("Worker"), _("never seen"), _("start it with manage.py worker"), url, "alarm")
    silence = timezone.now() - heartbeat.beat_at
    at = _format_short_time(heartbeat.beat_at)
    if silence > HEARTBEAT_TIMEOUT:
        return Tile(_("Worker"), _("silent"), _("last seen %(at)s") % {"at": at}, url, "alarm")
    return Tile(_("Worker"), _("running"), _("last seen %(at)s") % {"at": at}, url, "calm")
