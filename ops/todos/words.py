"""What a to-do says to staff: a sentence, what to do, the page that it is about, and who may see it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, PermissionsMixin
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from kikaku.money import in_currency, yen
from ledger.closing.findings import discrepancy_object
from ledger.models import Discrepancy
from ops.models import Todo

Kind = Todo.Kind
Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Words:
    """How staff read the to-dos of a kind."""

    permission: str  # to see what it is about, without which the to-do is not shown either
    sentence: Callable[[str, Figures], str]  # takes subject and figures
    advice: Promise  # what to do
    page: str  # name of the admin page of what it is about
    key: str = ""  # the figure with the id of that page; "": the subject
    query: str = ""  # after the address of a list


def sentence(todo: Todo) -> str:
    """Return what has happened, in one sentence."""
    return WORDS[Kind(todo.kind)].sentence(todo.subject, todo.figures)


def advice(todo: Todo) -> str:
    """Return what to do about it."""
    return str(WORDS[Kind(todo.kind)].advice)


def page_of(todo: Todo) -> str:
    """Return the address of the admin page of what it is about."""
    words = WORDS[Kind(todo.kind)]
    if words.page.endswith("_changelist"):
        return reverse(f"admin:{words.page}") + words.query
    return reverse(f"admin:{words.page}", args=[todo.figures[words.key] if words.key else todo.subject])


def visible_kinds(user: AbstractBaseUser | AnonymousUser | PermissionsMixin) -> list[str]:
    """Return the kinds whose matter a user may see."""
    return [kind for kind, words in WORDS.items() if user.has_perm(words.permission)]  # type: ignore[union-attr]


def _discrepancy(subject: str, figures: Figures) -> str:
    kind, name = figures["what"], figures["object"]
    return _("%(what)s: %(object)s, %(amount)s (%(day)s)") % {
        "what": Discrepancy.Kind(kind).label,
        "object": discrepancy_object(kind, name),
        "amount": yen(figures["amount"]),
        "day": figures["day"],
    }


def _low_stock(subject: str, figures: Figures) -> str:
    values = {"sku": subject, "available": figures["available"], "reserved": figures["reserved"]}
    if figures["available"]:
        return _("%(sku)s: %(available)d pieces are left to sell") % values
    if figures["reserved"]:
        return _("%(sku)s: nothing is left to sell (%(reserved)d pieces are reserved)") % values
    return _("%(sku)s: nothing is left to sell") % values


def _negative_stock(subject: str, figures: Figures) -> str:
    return _("%(sku)s: %(reserved)d pieces are reserved, %(on_hand)d are in stock") % {
        "sku": subject,
        "reserved": figures["reserved"],
        "on_hand": figures["on_hand"],
    }


def _refund_rate(subject: str, figures: Figures) -> str:
    return _("%(refunds)d refunded of %(payments)d payments in %(days)d days: %(percent)d%%") % figures


def _failing_event(subject: str, figures: Figures) -> str:
    return _("%(type)s (%(event)s) has failed %(attempts)d times") % {**figures, "event": subject}


def _unfulfilled(subject: str, figures: Figures) -> str:
    values = {"number": subject, "total": yen(figures["total"]), "days": figures["days"]}
    if figures["partly"]:
        return _("%(number)s, %(total)s: paid %(days)d days ago and not completely shipped") % values
    return _("%(number)s, %(total)s: paid %(days)d days ago and not shipped") % values


def _order_volume(subject: str, figures: Figures) -> str:
    values = {
        "day": date_format(date.fromisoformat(figures["day"]), "n/j"),
        "count": figures["count"],
        "mean": f"{figures['week'] / 7:.1f}",
    }
    if figures["high"]:
        return _("%(count)d orders on %(day)s, far more than usual (%(mean)s a day)") % values
    return _("%(count)d orders on %(day)s, far fewer than usual (%(mean)s a day)") % values


def _payment_failures(subject: str, figures: Figures) -> str:
    return (
        _("the payment was refused in %(failed)d of %(tried)d orders in %(hours)d hours: %(percent)d%%")
        % figures
    )


def _high_value(subject: str, figures: Figures) -> str:
    return _("%(number)s, %(total)s: check it before it is shipped") % {
        "number": subject,
        "total": yen(figures["total"]),
    }


def _dispute(subject: str, figures: Figures) -> str:
    return _("A customer disputes %(amount)s at the bank (%(dispute)s)") % {
        "amount": in_currency(figures["amount"], figures["currency"] or "jpy"),
        "dispute": subject,
    }


def _late_voucher(subject: str, figures: Figures) -> str:
    return _("%(number)s: %(amount)s were paid at the counter after the order was cancelled") % {
        "number": figures["number"],
        "amount": yen(figures["amount"]),
    }


WORDS: dict[Todo.Kind, Words] = {
    Kind.DIFFERENCE: Words(
        "ledger.view_discrepancy",
        _discrepancy,
        gettext_lazy("Find the cause, mend it, and write down how it was resolved."),
        "ledger_discrepancy_change",
    ),
    Kind.DISCREPANCY: Words(
        "ledger.view_discrepancy",
        _discrepancy,
        gettext_lazy("Its page says what is to be done; write down how it was resolved."),
        "ledger_discrepancy_change",
    ),
    Kind.NEGATIVE_STOCK: Words(
        "ledger.view_stockitem",
        _negative_stock,
        gettext_lazy("Count the pieces on the shelf and enter the count; tell us if it comes back."),
        "ledger_stockitem_change",
        "item",
    ),
    Kind.LOW_STOCK: Words(
        "ledger.view_stockitem",
        _low_stock,
        gettext_lazy("Order more, or take the product off sale."),
        "ledger_stockitem_change",
        "item",
    ),
    Kind.REFUND_RATE: Words(
        "ledger.view_refund",
        _refund_rate,
        gettext_lazy("Read the reasons of the refunds: one product, one carrier, or one customer?"),
        "ledger_refund_changelist",
    ),
    Kind.FAILING_EVENT: Words(
        "ledger.view_stripeevent",
        _failing_event,
        gettext_lazy("Read its error and process it again; set it aside once it was dealt with by hand."),
        "ledger_stripeevent_change",
    ),
    Kind.UNFULFILLED: Words(
        "ledger.view_order",
        _unfulfilled,
        gettext_lazy("Ship it, or tell the customer when it comes; cancel what cannot be delivered."),
        "ledger_order_change",
        "order",
    ),
    Kind.ORDER_VOLUME: Words(
        "ledger.view_order",
        _order_volume,
        gettext_lazy("Many: look for orders of one client or wrong prices. Few: place a test order."),
        "ledger_order_changelist",
    ),
    Kind.PAYMENT_FAILURES: Words(
        "ledger.view_order",
        _payment_failures,
        gettext_lazy("Look at Stripe: an outage, or stolen cards that are tried out? Radar can block them."),
        "ledger_order_changelist",
        query="?todo=pay",
    ),
    Kind.HIGH_VALUE: Words(
        "ledger.view_order",
        _high_value,
        gettext_lazy("Check name, address and card. Approve it for shipping, or reject it: it is cancelled."),
        "ledger_order_change",
        "order",
    ),
    Kind.DISPUTE: Words(
        "ledger.view_stripeevent",
        _dispute,
        gettext_lazy("Answer it in Stripe's dashboard before its deadline, then write down what was done."),
        "ledger_stripeevent_change",
        "event",
    ),
    Kind.LATE_VOUCHER: Words(
        "ledger.view_order",
        _late_voucher,
        gettext_lazy("The money goes back by itself: Stripe asks for a bank account. Tell the customer so."),
        "ledger_order_change",
        "order",
    ),
}
