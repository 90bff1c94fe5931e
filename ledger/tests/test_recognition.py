"""The entries of shipments and refunds over real rows: any order, any sequence, to the yen."""

import contextlib
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from kikaku.money import REDUCED, STANDARD, TAX_CLASSES
from kikaku.testing.database import examples
from ledger.books import balance_postings, recognition, refunds_payable
from ledger.books.accounts import (
    OUTPUT_TAX_ACCOUNTS,
    PREPAYMENTS,
    REFUNDS_PAYABLE,
    RETURNS_ACCOUNTS,
    SALES_ACCOUNTS,
    SHIPPING_INCOME,
)
from ledger.books.order_buckets import tax_buckets
from ledger.books.tax import totals
from ledger.books.trial_balance import net_balance
from ledger.closing import checks
from ledger.models import (
    BalanceTransaction,
    Discrepancy,
    JournalEntry,
    Order,
    OrderLine,
    Payment,
    Refund,
    RefundLine,
    Shipment,
    ShipmentLine,
    StockItem,
)
from ledger.sales.refund_plan import RefundRefused, RefundRequest, Side, plan_refund

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
NUMBERS = itertools.count(1)
pytestmark = pytest.mark.django_db


class Case:
    """A paid order in rows, with balance transactions that are given instead of fetched."""

    def __init__(
        self, lines: Sequence[tuple[int, int, str]], *, discount: int = 0, shipping_fee: int = 0
    ) -> None:
        """Write an order of (unit price, quantity, tax class) and its captured payment."""
        number = f"T{next(NUMBERS)}"
        quote = totals(
            [(price * quantity, tax_class) for price, quantity, tax_class in lines],
            discount=discount,
            shipping_fee=shipping_fee,
            rates={STANDARD: 10, REDUCED: 8},
        )
        self.order = Order.objects.create(
            number=number,
            token=number,
            nonce=number,
            status="paid",
            language="ja",
            goods_total=quote.goods_total,
            discount=discount,
            shipping_fee=shipping_fee,
            total=quote.total,
            tax_standard=quote.taxes.get(STANDARD, 0),
            tax_reduced=quote.taxes.get(REDUCED, 0),
            rate_standard=10,
            rate_reduced=8,
            tax_rounding="down",
            placed_at=NOW,
            paid_at=NOW,
        )
        item = StockItem.objects.create(sku=number, on_hand=0)
        self.lines = [
            OrderLine.objects.create(
                order=self.order,
                position=position,
                item=item,
                sku=number,
                title=f"灯 {position}",
                unit_price=price,
                quantity=quantity,
                discount=share,
                total=price * quantity - share,
                tax_class=tax_class,
            )
            for position, ((price, quantity, tax_class), share) in enumerate(
                zip(lines, quote.line_discounts, strict=True)
            )
        ]
        self.payment = Payment.objects.create(
            order=self.order,
            payment_intent=f"pi_{number}",
            charge=f"ch_{number}",
            amount=quote.total,
            captured_at=NOW,
        )
        self.transaction("charge", f"ch_{number}", quote.total)

    def transaction(self, kind: str, source: str, amount: int) -> JournalEntry | None:
        """Store and post a balance transaction; return its entry."""
        with transaction.atomic():
            txn = BalanceTransaction.objects.create(
                id=f"txn_{next(NUMBERS)}",
                type=kind,
                source=source,
                amount=amount,
                fee=0,
                net=amount,
                created=NOW,
                available_on=NOW,
                day=NOW.date(),
            )
            balance_postings.post_balance_transactions([txn], now=NOW)
            return JournalEntry.objects.filter(source_id=txn.id).first()

    def ship(self, quantities: Sequence[int]) -> JournalEntry | None:
        """Store and post a shipment of some pieces of each line; return its entry."""
        with transaction.atomic():
            shipment = Shipment.objects.create(
                order=self.order, nonce=f"n{next(NUMBERS)}", carrier="x", shipped_at=NOW
            )
            for line, quantity in zip(self.lines, quantities, strict=True):
                if quantity:
                    ShipmentLine.objects.create(shipment=shipment, order_line=line, quantity=quantity)
                    line.shipped += quantity
                    line.save()
            self._update_status()
            return recognition.post_shipment(shipment, now=NOW)

    def request(
        self,
        amount: int | None = None,
        cancel: Sequence[int] = (),
        returns: Sequence[int] = (),
        *,
        side: Side | None = None,
        shipping: bool = False,
    ) -> Refund:
        """Store the rows of a refund request."""
        request = RefundRequest(
            amount=amount,
            side=side,
            cancel={line.pk: n for line, n in zip(self.lines, cancel, strict=False)},
            returns={line.pk: n for line, n in zip(self.lines, returns, strict=False)},
            include_shipping=shipping,
        )
        with transaction.atomic():
            plan = plan_refund(self.order, request)
            number = f"re_{next(NUMBERS)}"
            refund = Refund.objects.create(
                order=self.order,
                payment=self.payment,
                nonce=number,
                stripe_id=number,
                amount=sum(part.amount for part in plan),
                requested_at=NOW,
            )
            for part in plan:
                RefundLine.objects.create(
                    refund=refund,
                    order_line_id=part.order_line_id,
                    tax_class=part.tax_class,
                    quantity=part.quantity,
                    returned=part.returned,
                    prepaid=part.prepaid,
                    recognised=part.recognised,
                    payable=part.payable,
                )
                for line in self.lines:
                    if line.pk == part.order_line_id:
                        line.cancelled += part.cancelled
                        line.returned += part.returned
                        line.save()
            self._update_status()
        return refund

    def settle(self, refund: Refund, *, fails: str = "") -> JournalEntry | None:
        """Settle a refund at Stripe; `fails` is "before" or "after" its money moved, or empty."""
        entry = None
        if fails != "before":
            entry = self.transaction("refund", str(refund.stripe_id), -refund.amount)
        if fails:
            Refund.objects.filter(pk=refund.pk).update(status="failed")
            refund.refresh_from_db()
            with transaction.atomic():
                refunds_payable.post_failed_refund(refund, now=NOW)
            if fails == "after":
                self.transaction("refund_failure", str(refund.stripe_id), refund.amount)
        else:
            Refund.objects.filter(pk=refund.pk).update(status="succeeded")
        return entry

    def _update_status(self) -> None:
        """Update the state of the order by its pieces."""
        if all(line.shippable == 0 for line in self.lines):
            shipped = any(line.shipped for line in self.lines)
            Order.objects.filter(pk=self.order.pk).update(status="shipped" if shipped else "cancelled")

    def owed(self, account: str) -> int:
        """Return credit − debit of an account for the order."""
        return -net_balance(account, order=self.order)

    def check(self) -> None:
        """Assert that the checks find nothing wrong with the order."""
        only = Order.objects.filter(pk=self.order.pk)
        findings = [
            *checks.entries.unbalanced_entries(JournalEntry.objects.all()),
            *checks.orders.order_totals(only),
            *checks.orders.order_balances(only, until=None),
            *checks.orders.shipped_orders(only),
            *checks.orders.paid_orders(only),
            *checks.orders.refunded_payments(only),
            *checks.orders.refund_parts(only),
            *checks.orders.shipped_pieces(only),
            *(found for found in checks.history.line_pieces(only) if found.table == "OrderLine"),
        ]
        assert [str(finding) for finding in findings] == []


def worked() -> Case:
    """Return the worked order of ¥12,130."""
    return Case([(11_000, 1, STANDARD), (1_080, 1, REDUCED)], discount=500, shipping_fee=550)


def lines_of(entry: JournalEntry | None) -> dict[str, int]:
    """Return debit − credit by account."""
    assert entry is not None
    return {line.account_id: line.debit - line.credit for line in entry.lines.all()}


def test_the_worked_order_is_shipped_and_refunded_to_the_yen() -> None:
    case = worked()
    assert lines_of(case.ship([1, 1])) == {
        "2130": 12_130,
        "4110": -9_587,
        "4120": -500,
        "2150": -1_008,
        "4111": -959,
        "2151": -76,
    }
    assert lines_of(case.settle(case.request())) == {
        "4190": 10_087,
        "2150": 1_008,
        "4191": 959,
        "2151": 76,
        "1150": -12_130,
    }
    case.check()


def test_goods_of_one_rate_are_refunded_from_that_rate_only() -> None:
    case = worked()
    case.ship([1, 1])
    refund = case.request(returns=[1, 0])
    assert refund.amount == 10_545
    assert lines_of(case.settle(refund)) == {"4190": 9_587, "2150": 958, "1150": -10_545}
    shipping = case.request(shipping=True)
    assert lines_of(case.settle(shipping)) == {"4190": 500, "2150": 50, "1150": -550}
    case.check()


def test_cancelled_pieces_leave_prepayments_and_returned_ones_sales() -> None:
    case = Case([(1_100, 3, STANDARD)])
    case.ship([1])
    assert lines_of(case.settle(case.request(cancel=[2]))) == {"2130": 2_200, "1150": -2_200}
    assert lines_of(case.settle(case.request(returns=[1]))) == {"4190": 1_000, "2150": 100, "1150": -1_100}
    case.check()


def test_an_amount_is_spread_in_proportion_to_what_remains_of_each_rate() -> None:
    case = worked()
    case.ship([1, 1])
    refund = case.request(1_000)
    assert {line.tax_class: line.recognised for line in refund.lines.all()} == {STANDARD: 915, REDUCED: 85}


def test_shipments_recognise_cumulatively_and_the_last_takes_what_is_left() -> None:
    case = Case([(100, 3, STANDARD)], discount=1, shipping_fee=500)  # ¥299 in three pieces
    first, second, third = case.ship([1]), case.ship([1]), case.ship([1])
    assert [lines_of(entry)["2130"] for entry in (first, second, third)] == [599, 100, 100]
    assert case.owed("2150") == 799 * 10 // 110
    assert case.owed(PREPAYMENTS) == 0
    case.check()


def test_an_order_of_reduced_goods_recognises_its_shipping_at_10_percent() -> None:
    case = Case([(1_080, 2, REDUCED)], shipping_fee=550)
    assert lines_of(case.ship([1])) == {
        "2130": 1_630,
        "4120": -500,
        "2150": -50,
        "4111": -1_000,
        "2151": -80,
    }


def test_cancelled_and_shipped_pieces_of_a_line_add_up_to_its_total() -> None:
    case = Case([(100, 3, STANDARD)], discount=200)  # ¥100 in three pieces: 33, 33, 34
    case.ship([1])
    refund = case.request(cancel=[2])
    assert refund.amount == 67
    case.settle(refund)
    assert case.owed(PREPAYMENTS) == 0
    case.check()


def test_a_refund_before_shipment_leaves_less_to_recognise() -> None:
    case = worked()
    case.settle(case.request(12_000))
    entry = case.ship([1, 1])
    assert lines_of(entry)["2130"] == 130
    case.check()


def test_a_shipment_of_a_completely_refunded_order_posts_nothing() -> None:
    case = worked()
    case.settle(case.request(12_130))
    assert case.ship([1, 1]) is None
    assert case.owed(PREPAYMENTS) == 0


def test_a_shipment_posted_twice_is_one_entry() -> None:
    case = worked()
    entry = case.ship([1, 1])
    with transaction.atomic():
        assert recognition.post_shipment(Shipment.objects.get(), now=NOW) == entry


def test_a_failed_refund_is_owed_and_the_next_refund_takes_it_first() -> None:
    case = worked()
    case.ship([1, 1])
    case.settle(case.request(3_000), fails="after")
    assert case.owed(REFUNDS_PAYABLE) == 3_000
    again = case.request(3_000)
    assert [line.payable for line in again.lines.all()] == [3_000]
    assert lines_of(case.settle(again)) == {"2120": 3_000, "1150": -3_000}
    assert case.owed(REFUNDS_PAYABLE) == 0
    case.check()


def test_a_refund_that_failed_before_money_moved_is_owed_too() -> None:
    case = worked()
    refund = case.request(3_000)
    case.settle(refund, fails="before")
    assert (case.owed(PREPAYMENTS), case.owed(REFUNDS_PAYABLE)) == (9_130, 3_000)
    with transaction.atomic():
        refunds_payable.post_failed_refund(refund, now=NOW)  # reported twice
    assert case.owed(REFUNDS_PAYABLE) == 3_000
    assert case.request().amount == 12_130  # everything: what is owed, and the rest
    case.check()


def test_money_that_still_moves_for_a_failed_refund_is_taken_from_what_is_owed() -> None:
    case = worked()
    refund = case.request(3_000)
    case.settle(refund, fails="before")
    assert lines_of(case.transaction("refund", str(refund.stripe_id), -3_000)) == {
        "2120": 3_000,
        "1150": -3_000,
    }
    case.check()


def test_a_second_payment_is_refunded_from_the_excess_and_not_from_the_goods() -> None:
    case = worked()
    Payment.objects.create(
        order=case.order, payment_intent="pi_2", charge="ch_2", amount=12_130, captured_at=NOW
    )
    case.transaction("charge", "ch_2", 12_130)
    case.settle(case.request(12_130))
    assert case.owed(PREPAYMENTS) == 12_130
    assert lines_of(case.ship([1, 1]))["2130"] == 12_130
    case.check()


@pytest.mark.parametrize(
    ("amount", "cancel", "shipping"),
    [(12_131, [], False), (0, [], False), (-5, [], False), (None, [2, 0], False), (100, [1, 0], False)],
)
def test_a_refund_of_more_than_remains_is_refused(
    amount: int | None, cancel: list[int], shipping: bool
) -> None:
    case = worked()
    with pytest.raises(RefundRefused):
        case.request(amount, cancel, shipping=shipping)
    assert not Refund.objects.exists()


def test_nothing_can_be_refunded_twice() -> None:
    case = worked()
    case.request(shipping=True)
    with pytest.raises(RefundRefused, match=r"."):
        case.request(shipping=True)
    case.request()
    with pytest.raises(RefundRefused, match=r"."):
        case.request()


def test_a_line_of_another_order_is_refused() -> None:
    other, case = worked(), worked()
    request = RefundRequest(cancel={other.lines[0].pk: 1})
    with pytest.raises(RefundRefused):
        plan_refund(case.order, request)


def test_a_refund_with_another_amount_than_ours_goes_to_suspense() -> None:
    case = worked()
    refund = case.request(3_000)
    assert lines_of(case.transaction("refund", str(refund.stripe_id), -2_999)) == {
        "9990": 2_999,
        "1150": -2_999,
    }
    assert Discrepancy.objects.get().kind == "amount"


@pytest.mark.parametrize(
    ("kind", "source", "amount", "account", "found"),
    [
        ("charge", "ch_foreign", 500, "2130", "missing_in_books"),
        ("refund", "re_foreign", -500, "2130", "missing_in_books"),
        ("payment_refund", "pyr_foreign", -500, "2130", "missing_in_books"),
        ("payment_refund", "pyr_foreign", 500, "2120", "missing_in_books"),
        ("refund_failure", "re_foreign", 500, "2120", "missing_in_books"),
        ("adjustment", "", 500, "9990", "unknown_type"),
        ("payout", "po_1", -500, "9990", "unknown_type"),
    ],
)
def test_an_unexplained_transaction_is_posted_with_a_discrepancy(
    kind: str, source: str, amount: int, account: str, found: str
) -> None:
    entry = worked().transaction(kind, source, amount)
    assert lines_of(entry) == {"1150": amount, account: -amount}
    assert Discrepancy.objects.get().kind == found


LINES = st.lists(
    st.tuples(st.integers(0, 9_999), st.integers(1, 4), st.sampled_from([STANDARD, REDUCED])),
    min_size=1,
    max_size=4,
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ship", "ship", "amount", "lines", "shipping", "all"]),
        st.integers(0, 10**6),
        st.sampled_from(["", "", "before", "after", "later"]),
    ),
    max_size=8,
)


@hypothesis_settings(
    max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(LINES, st.integers(0, 3_000), st.sampled_from([0, 500]), STEPS, st.booleans())
def test_any_shipments_and_refunds_of_any_order_pass_every_check(
    lines: list[tuple[int, int, str]],
    discount: int,
    shipping_fee: int,
    steps: list[tuple[str, int, str]],
    refund_rest: bool,
) -> None:
    goods = sum(price * quantity for price, quantity, _class in lines)
    if goods - min(discount, goods) + shipping_fee < 50:
        return
    with transaction.atomic():
        case = Case(lines, discount=min(discount, goods), shipping_fee=shipping_fee)
        open_refunds = []
        for kind, number, fate in steps:
            if kind == "ship":
                pieces = [number % (line.shippable + 1) for line in case.lines]
                if any(pieces):
                    case.ship(pieces)
                continue
            try:
                if kind == "amount":
                    side = (None, *Side)[number % 4]
                    refund = case.request(1 + number % case.order.total, side=side)
                elif kind == "lines":
                    refund = case.request(
                        cancel=[number % (line.shippable + 1) for line in case.lines],
                        returns=[number // 5 % (line.returnable + 1) for line in case.lines],
                        shipping=not number % 3,
                    )
                else:
                    refund = case.request(shipping=kind == "shipping")
            except RefundRefused:
                continue
            if fate == "later":
                open_refunds.append(refund)
            else:
                case.settle(refund, fails=fate)
            case.check()
        rest = [line.shippable for line in case.lines]
        if any(rest):
            case.ship(rest)
        for refund in open_refunds:
            case.settle(refund)
        case.check()
        if any(line.shipped for line in case.lines):
            assert case.owed(PREPAYMENTS) == 0
        if refund_rest:
            with contextlib.suppress(RefundRefused):
                case.settle(case.request())
            case.check()
            assert case.owed(PREPAYMENTS) == case.owed(REFUNDS_PAYABLE) == 0
            assert net_balance("1150", order=case.order) == 0
            for tax_class in TAX_CLASSES:
                shipping = case.owed(SHIPPING_INCOME) if tax_class == STANDARD else 0
                sold = case.owed(SALES_ACCOUNTS[tax_class]) + shipping
                assert sold + case.owed(RETURNS_ACCOUNTS[tax_class]) == 0
                assert case.owed(OUTPUT_TAX_ACCOUNTS[tax_class]) == 0


def test_the_tax_buckets_of_an_order_are_read_in_three_queries(django_assert_num_queries: object) -> None:
    case = worked()
    case.ship([1, 1])
    case.settle(case.request(500))
    with django_assert_num_queries(3):  # type: ignore[operator]
        tax_buckets(case.order)


def test_a_transaction_of_zero_has_no_entry() -> None:
    assert worked().transaction("adjustment", "", 0) is None


def test_a_transaction_is_posted_once(db: None) -> None:
    case = worked()
    txn = BalanceTransaction.objects.get()
    with pytest.raises(IntegrityError), transaction.atomic():
        balance_postings.post_balance_transactions([txn], now=NOW + timedelta(hours=1))
    assert case.order.entries.count() == 1
