"""Refunds that wait for a bank account and are cancelled before their money moves."""

from datetime import timedelta

from kikaku.sandbox import Sandbox
from ledger.books.accounts import OUTPUT_TAX_ACCOUNTS, RETURNS_ACCOUNTS, SALES_ACCOUNTS, SHIPPING_INCOME
from ledger.books.trial_balance import net_balance
from ledger.models import Order, Refund
from ledger.testing import build
from ledger.testing.closing import MONDAY, TUESDAY, at, set_clock
from ledger.testing.dashboard import cancel_refund_in_dashboard
from ledger.testing.konbini import order_with_voucher, pay


def paid(sandbox: Sandbox, placed: Order | None = None) -> Order:
    """Return an order whose voucher was paid on Tuesday: 3 × ¥1,000 and ¥550, or `placed`."""
    now = set_clock(sandbox, at(MONDAY))
    lines = [build.line(price=1_000, quantity=3, on_hand=3)]
    order = order_with_voucher(sandbox, placed=placed or build.order(lines, shipping_fee=550, now=now))
    pay(sandbox, order, at(TUESDAY, 9))
    build.fetch(sandbox)
    return order


def withdraw(sandbox: Sandbox, refund: Refund) -> None:
    """Cancel a waiting refund in Stripe's dashboard, and hear of it."""
    cancel_refund_in_dashboard(refund)
    set_clock(sandbox, build.now_of(sandbox) + timedelta(minutes=1))
    build.deliver(sandbox)
    build.fetch(sandbox)
    refund.refresh_from_db()
    assert refund.withdrawn
    refund.order.refresh_from_db()


def sale(order: Order) -> tuple[int, int]:
    """Return the order's goods and tax (JPY) that the journal has as sold and not returned."""
    goods = (*SALES_ACCOUNTS.values(), *RETURNS_ACCOUNTS.values(), SHIPPING_INCOME)
    return tuple(  # type: ignore[return-value]
        -sum(net_balance(account, order=order) for account in accounts)
        for accounts in (goods, OUTPUT_TAX_ACCOUNTS.values())
    )
